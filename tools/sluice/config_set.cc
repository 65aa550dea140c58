// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/config_set.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "control/refusals.h"

namespace sluice {
namespace {

constexpr absl::string_view kRoot = "changes[0].replace_owned.config.";

bool IsConfigFile(const std::filesystem::path& path) {
  return path.extension() == ".json" || path.extension() == ".txtpb" || path.extension() == ".textproto";
}

}  // namespace

absl::StatusOr<ConfigSet> ConfigSet::Read(const std::string& path) {
  ConfigSet set;
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    if (const absl::Status added = set.Add(path); !added.ok()) return added;
    return set;
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    if (IsConfigFile(entry.path())) files.push_back(entry.path());
  }
  if (error) return absl::ErrnoToStatus(error.value(), path);
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat(path, ": has no file that ends in .json, .txtpb or .textproto: nothing would be left"));
  }
  std::sort(files.begin(), files.end());
  for (const std::string& file : files) {
    if (const absl::Status added = set.Add(file); !added.ok()) return added;
  }
  return set;
}

absl::Status ConfigSet::Add(const std::string& path) {
  absl::StatusOr<ConfigFile> file = ConfigFile::Read(path);
  if (!file.ok()) return file.status();
  const v1::Config& config = file->request().changes(0).replace_owned().config();
  parts_.push_back(
      {*file, config_.services_size(), config_.fwmark_rules_size(), config_.local_addresses_size()});
  config_.MergeFrom(config);
  return absl::OkStatus();
}

std::string ConfigSet::Explain(const v1::Refusals& refusals) const {
  std::string text;
  for (const v1::Refusal& refusal : refusals.refusals()) absl::StrAppend(&text, Explain(refusal), "\n");
  if (refusals.left_out() > 0) absl::StrAppend(&text, LeftOutInWords(refusals), "\n");
  return text;
}

// The element of the whole as that of the part it came from.
std::string ConfigSet::Explain(const v1::Refusal& refusal) const {
  absl::string_view field = refusal.field();
  absl::ConsumePrefix(&field, kRoot);
  const Part* part = &parts_.back();
  std::string local(field);
  for (const auto& [kind, first] : {std::pair("services[", &Part::services),
                                    {"fwmark_rules[", &Part::fwmark_rules},
                                    {"local_addresses[", &Part::local_addresses}}) {
    absl::string_view rest = field;
    int index = 0;
    if (!absl::ConsumePrefix(&rest, kind) || !absl::SimpleAtoi(rest.substr(0, rest.find(']')), &index))
      continue;
    for (const Part& each : parts_) {
      if (each.*first <= index) part = &each;
    }
    local = absl::StrCat(kind, index - part->*first, rest.substr(rest.find(']')));
  }
  Problems problems;
  problems.Add(refusal.reason(), absl::StrCat(kRoot, local), refusal.message());
  return std::string(part->file.Explain(problems.ToStatus()).message());
}

}  // namespace sluice
