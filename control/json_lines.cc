// SPDX-License-Identifier: Apache-2.0
#include "control/json_lines.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr int kDeepest = 64;

std::string SnakeCase(absl::string_view name) {
  std::string result;
  for (const char c : name) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c))) result += '_';
    result += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return result;
}

class Scanner {
 public:
  explicit Scanner(absl::string_view text) : text_(text) {}

  JsonLines Scan() {
    if (Value("", 0)) {
      SkipBlanks();
      if (at_ < text_.size()) Fail("text after the end of the configuration");
    }
    return std::move(result_);
  }

 private:
  // The functions return false after an error.
  bool Fail(const std::string& error) {
    result_.error_line = line_;
    result_.error = error;
    return false;
  }
  bool AtEnd() const { return at_ >= text_.size(); }
  char Next() const { return AtEnd() ? '\0' : text_[at_]; }
  void SkipBlanks() {
    while (!AtEnd() && absl::ascii_isspace(static_cast<unsigned char>(Next()))) {
      if (Next() == '\n') ++line_;
      ++at_;
    }
  }
  bool Expect(char wanted, const char* where) {
    SkipBlanks();
    if (Next() != wanted)
      return Fail(absl::StrCat("expected '", std::string(1, wanted), "' ", where, ", found ", Found()));
    ++at_;
    return true;
  }
  std::string Found() const {
    return AtEnd() ? "the end of the file" : absl::StrCat("'", std::string(1, Next()), "'");
  }

  bool Value(const std::string& path, int depth) {
    SkipBlanks();
    result_.line_of.emplace(path, line_);
    if (depth > kDeepest) return Fail("nested too deeply");
    if (Next() == '{') return Object(path, depth);
    if (Next() == '[') return List(path, depth);
    if (Next() == '"') {
      std::string ignored;
      return String(ignored);
    }
    const size_t first = at_;
    while (!AtEnd() && (absl::ascii_isalnum(static_cast<unsigned char>(Next())) ||
                        absl::string_view("+-.").find(Next()) != absl::string_view::npos))
      ++at_;
    return at_ > first || Fail(absl::StrCat("expected a value, found ", Found()));
  }
  bool Object(const std::string& path, int depth) {
    ++at_;
    SkipBlanks();
    if (Next() == '}') return ++at_, true;
    while (true) {
      SkipBlanks();
      std::string name;
      if (Next() != '"') return Fail(absl::StrCat("expected a field name in quotes, found ", Found()));
      const int line = line_;
      if (!String(name) || !Expect(':', "after a field name")) return false;
      const std::string child = absl::StrCat(path, path.empty() ? "" : ".", SnakeCase(name));
      result_.line_of.emplace(child, line);
      if (!Value(child, depth + 1)) return false;
      SkipBlanks();
      if (Next() == '}') return ++at_, true;
      if (!Expect(',', "or '}' after a value")) return false;
    }
  }
  bool List(const std::string& path, int depth) {
    ++at_;
    SkipBlanks();
    if (Next() == ']') return ++at_, true;
    for (int i = 0;; ++i) {
      if (!Value(absl::StrCat(path, "[", i, "]"), depth + 1)) return false;
      SkipBlanks();
      if (Next() == ']') return ++at_, true;
      if (!Expect(',', "or ']' after a value")) return false;
    }
  }
  bool String(std::string& content) {
    ++at_;
    while (!AtEnd() && Next() != '"' && Next() != '\n') {
      if (Next() == '\\') ++at_;
      if (!AtEnd()) content += Next();
      ++at_;
    }
    if (Next() != '"') return Fail("a string without its closing quote");
    ++at_;
    return true;
  }

  absl::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  JsonLines result_;
};

}  // namespace

JsonLines ScanJson(absl::string_view text) { return Scanner(text).Scan(); }

}  // namespace sluice
