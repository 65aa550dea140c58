// Reads JSON a value at a time, as the API server and its clients write it: what is not wanted is skipped, and
// nothing is kept. After the first fault everything reads as empty.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::kubernetes {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : at_(text.data()), begin_(at_), end_(at_ + text.size()) {}

  bool ok() const { return error_.empty(); }
  // "byte 17: a number is wanted"; empty: none.
  const std::string& error() const { return error_; }
  // Of all arrays so far, nested ones too. Three bytes of text may become a hundred of memory.
  size_t elements() const { return elements_; }
  // Nothing but white space follows.
  bool AtEnd();

  // Calls `field(key)` for every field; it reads the value, or skips it. null is an object without fields.
  template <class Field>
  void Object(Field&& field) {
    if (!Enter('{')) return;
    for (bool more = !Take('}'); more && ok(); more = Next('}')) {
      std::string unescaped;
      const std::string_view key = Text(unescaped);
      Expect(':');
      if (ok()) field(key);
    }
    --depth_;
  }
  // Calls `element()` for every element; it reads or skips it. null is empty.
  template <class Element>
  void Array(Element&& element) {
    if (!Enter('[')) return;
    for (bool more = !Take(']'); more && ok(); more = Next(']')) {
      if (++elements_ > kMostElements) return void(Fail("there are more than 100000 elements"));
      element();
    }
    --depth_;
  }
  // null is what is empty of its kind.
  std::string String();
  int64_t Integer();
  bool Boolean();
  // True: it was null, and is read.
  bool Null();
  void Skip();

 private:
  static constexpr int kDeepest = 100;
  // A slice has a thousand endpoints with one address each, and may have a hundred.
  static constexpr size_t kMostElements = 100'000;

  bool Fail(const char* what);
  void SkipSpace();
  bool Take(char wanted);
  void Expect(char wanted);
  bool TakeWord(std::string_view word);
  // False: it is null, or a fault.
  bool Enter(char bracket);
  // After an element: whether another follows.
  bool Next(char bracket);
  // Of the text or, if there are escapes in it, of `unescaped`.
  std::string_view Text(std::string& unescaped);
  std::string_view Checked(std::string_view text);
  void Unescape(std::string& to);
  uint32_t Hex4();

  const char* at_;
  const char* const begin_;
  const char* const end_;
  int depth_ = 0;
  size_t elements_ = 0;
  std::string error_;
};

}  // namespace sluice::kubernetes
