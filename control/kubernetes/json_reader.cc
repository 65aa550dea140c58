// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/json_reader.h"

#include <charconv>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

// Overlong forms and halves of pairs are not.
bool IsUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto byte = [&](size_t place) {
      return place < text.size() ? static_cast<uint8_t>(text[place]) : 0u;
    };
    const uint32_t lead = byte(at);
    const size_t more = lead < 0x80 ? 0 : lead >> 5 == 6 ? 1 : lead >> 4 == 14 ? 2 : lead >> 3 == 30 ? 3 : 4;
    if (more == 4) return false;
    uint32_t code = more == 0 ? lead : lead & (0x3fu >> more);
    for (size_t i = 1; i <= more; ++i) {
      if (byte(at + i) >> 6 != 2) return false;
      code = code << 6 | (byte(at + i) & 0x3f);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (code < kLeast[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
    at += more + 1;
  }
  return true;
}

}  // namespace

bool JsonReader::AtEnd() {
  SkipSpace();
  return at_ == end_;
}

std::string JsonReader::String() {
  if (Null()) return {};
  std::string unescaped;
  const std::string_view text = Text(unescaped);
  return text.data() == unescaped.data() ? unescaped : std::string(text);
}

int64_t JsonReader::Integer() {
  if (Null()) return 0;
  int64_t value = 0;
  const auto [rest, error] = std::from_chars(at_, end_, value);
  if (!ok()) return 0;
  const bool is_fraction = rest != end_ && (*rest == '.' || *rest == 'e' || *rest == 'E');
  if (error != std::errc() || is_fraction) return Fail("a whole number is wanted"), 0;
  at_ = rest;
  return value;
}

bool JsonReader::Boolean() {
  if (Null() || TakeWord("false")) return false;
  return TakeWord("true") || Fail("true or false is wanted");
}

bool JsonReader::Null() {
  SkipSpace();
  return TakeWord("null");
}

void JsonReader::Skip() {
  SkipSpace();
  if (!ok()) return;
  if (at_ == end_) return void(Fail("a value is wanted"));
  switch (*at_) {
    case '{': return Object([&](std::string_view) { Skip(); });
    case '[': return Array([&] { Skip(); });
    case '"': {
      std::string unescaped;
      Text(unescaped);
      return;
    }
    case 't': return void(Boolean());
    case 'f': return void(Boolean());
    case 'n': return void(Null() || Fail("a value is wanted"));
    default: {
      double number;
      const auto [rest, error] = std::from_chars(at_, end_, number);
      if (error != std::errc() || *at_ == 'i') return void(Fail("a value is wanted"));
      at_ = rest;
    }
  }
}

bool JsonReader::Fail(const char* what) {
  if (ok()) error_ = absl::StrCat("byte ", at_ - begin_, ": ", what);
  return false;
}

void JsonReader::SkipSpace() {
  while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
}

bool JsonReader::Take(char wanted) {
  SkipSpace();
  if (!ok() || at_ == end_ || *at_ != wanted) return false;
  ++at_;
  return true;
}

void JsonReader::Expect(char wanted) {
  if (!Take(wanted)) Fail("a sign is missing before it");
}

bool JsonReader::TakeWord(std::string_view word) {
  SkipSpace();
  if (!ok() || static_cast<size_t>(end_ - at_) < word.size() ||
      std::memcmp(at_, word.data(), word.size()) != 0)
    return false;
  at_ += word.size();
  return true;
}

bool JsonReader::Enter(char bracket) {
  if (Null()) return false;
  if (depth_ == kDeepest) return Fail("it is nested too deeply");
  if (!Take(bracket)) return Fail(bracket == '{' ? "an object is wanted" : "an array is wanted");
  ++depth_;
  return true;
}

bool JsonReader::Next(char bracket) {
  if (Take(',')) return true;
  if (!Take(bracket)) Fail("a comma or the end is wanted");
  return false;
}

std::string_view JsonReader::Text(std::string& unescaped) {
  if (!Take('"')) return Fail("a string is wanted"), std::string_view();
  const char* const begin = at_;
  while (at_ != end_ && *at_ != '"' && *at_ != '\\') ++at_;
  if (at_ != end_ && *at_ == '"') return Checked({begin, static_cast<size_t>(at_++ - begin)});
  unescaped.assign(begin, at_);
  while (at_ != end_ && *at_ != '"' && ok()) {
    if (*at_ == '\\') {
      ++at_;
      Unescape(unescaped);
    } else {
      unescaped.push_back(*at_++);
    }
  }
  if (at_ == end_) return Fail("a string does not end"), std::string_view();
  ++at_;
  return Checked(unescaped);
}

std::string_view JsonReader::Checked(std::string_view text) {
  if (IsUtf8(text)) return text;
  Fail("a string is not UTF-8");
  return {};
}

void JsonReader::Unescape(std::string& to) {
  if (at_ == end_) return;
  const char sign = *at_++;
  constexpr std::string_view kSigns = "\"\\/bfnrt", kMeant = "\"\\/\b\f\n\r\t";
  if (const size_t found = kSigns.find(sign); found != std::string_view::npos)
    return to.push_back(kMeant[found]);
  if (sign != 'u') return void(Fail("an unknown escape"));
  uint32_t code = Hex4();
  if (code >= 0xd800 && code < 0xdc00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u') {
    at_ += 2;
    code = 0x10000 + ((code - 0xd800) << 10) + ((Hex4() - 0xdc00) & 0x3ff);
  }
  if (code < 0x80) return to.push_back(static_cast<char>(code));
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  to.push_back(static_cast<char>((0xff00 >> (more + 1) & 0xff) | code >> 6 * more));
  for (int i = more - 1; i >= 0; --i) to.push_back(static_cast<char>(0x80 | (code >> 6 * i & 0x3f)));
}

uint32_t JsonReader::Hex4() {
  uint32_t code = 0;
  if (end_ - at_ < 4) return Fail("four hexadecimal digits are wanted"), 0;
  const auto [rest, error] = std::from_chars(at_, at_ + 4, code, 16);
  if (error != std::errc() || rest != at_ + 4) return Fail("four hexadecimal digits are wanted"), 0;
  at_ = rest;
  return code;
}

}  // namespace sluice::kubernetes
