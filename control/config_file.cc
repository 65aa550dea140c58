// SPDX-License-Identifier: Apache-2.0
#include "control/config_file.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "control/json_lines.h"
#include "control/refusals.h"

namespace sluice {
namespace {

using google::protobuf::TextFormat;

// Remembers the first error only: the others follow from it.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!text.empty()) return;
    this->line = line + 1;
    text = message;
  }
  int line = 0;
  std::string text;
};

// The lines of all fields of a parsed text, by path.
void CollectLines(const google::protobuf::Message& message, const TextFormat::ParseInfoTree& tree,
                  const std::string& path, std::map<std::string, int>& lines) {
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const auto* field : fields) {
    const int count = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const int index = field->is_repeated() ? i : -1;
      const std::string child = absl::StrCat(path, path.empty() ? "" : ".", field->name(),
                                             field->is_repeated() ? absl::StrCat("[", i, "]") : "");
      lines[child] = tree.GetLocation(field, index).line + 1;
      const TextFormat::ParseInfoTree* subtree = tree.GetTreeForNested(field, index);
      if (field->message_type() == nullptr || subtree == nullptr) continue;
      CollectLines(field->is_repeated() ? message.GetReflection()->GetRepeatedMessage(message, field, i)
                                        : message.GetReflection()->GetMessage(message, field),
                   *subtree, child, lines);
    }
  }
}

// Of the field itself or of the nearest that holds it.
int NearestLine(const std::map<std::string, int>& lines, std::string path) {
  while (true) {
    if (const auto found = lines.find(path); found != lines.end() && found->second > 0) return found->second;
    const size_t cut = path.find_last_of(".[");
    if (cut == std::string::npos) return 0;
    path.resize(cut);
  }
}

absl::Status Complain(const std::string& path, int line, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, line > 0 ? absl::StrCat(":", line) : "", ": ", what));
}

// protobuf says "(services[0].destinations[1].weight): invalid value ...", or "(services[0]) colour: Cannot
// find field.".
std::pair<std::string, std::string> SplitJsonError(absl::string_view message) {
  const size_t close = message.find(')');
  if (!absl::ConsumePrefix(&message, "(") || close == absl::string_view::npos)
    return {"", std::string(message)};
  absl::string_view what = message.substr(close);
  absl::ConsumePrefix(&what, ":");
  absl::ConsumePrefix(&what, " ");
  return {std::string(message.substr(0, close - 1)), std::string(what)};
}

}  // namespace

absl::StatusOr<ConfigFile> ConfigFile::Read(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a folder: --config wants a file"));
  std::ifstream file(path);
  if (!file) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": the configuration cannot be read"));
  std::stringstream text;
  text << file.rdbuf();
  if (file.bad()) return absl::UnavailableError(absl::StrCat(path, ": the configuration cannot be read"));
  return Parse(path, text.str());
}

absl::StatusOr<ConfigFile> ConfigFile::Parse(const std::string& path, const std::string& text) {
  v1::Config config;
  auto lines = std::make_shared<std::map<std::string, int>>();
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') {
    JsonLines scanned = ScanJson(text);
    if (scanned.error_line > 0) return Complain(path, scanned.error_line, scanned.error);
    *lines = std::move(scanned.line_of);
    if (const auto parsed = google::protobuf::util::JsonStringToMessage(text, &config); !parsed.ok()) {
      const auto [field, what] = SplitJsonError(std::string(parsed.message()));
      return Complain(path, NearestLine(*lines, field), absl::StrCat(field, field.empty() ? "" : ": ", what));
    }
  } else {
    FirstError error;
    TextFormat::Parser parser;
    TextFormat::ParseInfoTree tree;
    parser.RecordErrorsTo(&error);
    parser.WriteLocationsTo(&tree);
    if (!parser.ParseFromString(text, &config)) return Complain(path, error.line, error.text);
    CollectLines(config, tree, "", *lines);
  }
  ConfigFile file(path);
  file.line_of_ = [lines](const std::string& field) { return NearestLine(*lines, field); };
  file.request_.set_owner(v1::FILE);
  *file.request_.add_changes()->mutable_replace_owned()->mutable_config() = std::move(config);
  return file;
}

absl::Status ConfigFile::Explain(const absl::Status& refusal) const {
  std::string text;
  const v1::Refusals refusals = RefusalsOf(refusal);
  for (const v1::Refusal& each : refusals.refusals()) {
    absl::string_view field = each.field();
    absl::ConsumePrefix(&field, "changes[0].replace_owned.config.");
    const int line = line_of_(std::string(field));
    absl::StrAppend(&text, text.empty() ? "" : "\n", path_, line > 0 ? absl::StrCat(":", line) : "", ": ",
                    field, ": ", each.message());
  }
  if (refusals.left_out() > 0) absl::StrAppend(&text, "\n", LeftOutInWords(refusals));
  return text.empty() ? refusal : absl::InvalidArgumentError(text);
}

}  // namespace sluice
