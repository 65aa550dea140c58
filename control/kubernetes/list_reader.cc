// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/list_reader.h"

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

constexpr size_t kLargestFrame = size_t{1} << 20;

bool IsSpace(char byte) { return byte == ' ' || byte == '\n' || byte == '\t' || byte == '\r'; }

std::string_view WithoutSpaceAtTheEnd(std::string_view text) {
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

bool ListReader::Fail(const char* what) {
  if (error_.empty()) error_ = what;
  return false;
}

void ListReader::Follow(char byte) {
  if (is_in_string_) {
    if (is_escaped_) {
      is_escaped_ = false;
    } else if (byte == '\\') {
      is_escaped_ = true;
    } else if (byte == '"') {
      is_in_string_ = false;
    }
  } else if (byte == '"') {
    is_in_string_ = true;
  } else if (byte == '{' || byte == '[') {
    ++depth_;
  } else if (byte == '}' || byte == ']') {
    --depth_;
  }
}

// The frame so far ends with the key of the items.
bool ListReader::ItemsBegin() const {
  std::string_view text = WithoutSpaceAtTheEnd(frame_);
  if (depth_ != 1 || is_in_string_ || !text.ends_with(':')) return false;
  text.remove_suffix(1);
  text = WithoutSpaceAtTheEnd(text);
  constexpr std::string_view kKey = "\"items\"";
  return text.ends_with(kKey) && !text.substr(0, text.size() - kKey.size()).ends_with('\\');
}

size_t ListReader::ScanFrame(std::string_view bytes, size_t at) {
  for (; at < bytes.size(); ++at) {
    const char byte = bytes[at];
    const bool items = byte == '[' && ItemsBegin();
    Follow(byte);
    frame_.push_back(byte);
    if (frame_.size() > kLargestFrame) return Fail("it is no list: too much beside its items"), at;
    // What is no object will never be a list, however long it goes on.
    if (depth_ == 0 && byte != '}' && !IsSpace(byte)) return Fail("it is no list: no JSON object"), at;
    if (items) {
      place_ = Place::kItems;
      last_ = Last::kBegin;
      return at + 1;
    }
  }
  return at;
}

size_t ListReader::ScanItems(std::string_view bytes, size_t at) {
  while (at < bytes.size() && IsSpace(bytes[at])) ++at;
  if (at == bytes.size()) return at;
  const char byte = bytes[at];
  if (byte == '{' && last_ != Last::kObject) {
    place_ = Place::kObject;
    return at;
  }
  if (byte == ',' && last_ == Last::kObject) {
    last_ = Last::kComma;
  } else if (byte == ']' && last_ != Last::kComma) {
    Follow(byte);
    frame_.push_back(byte);
    place_ = Place::kFrame;
  } else {
    Fail("its items are no objects with commas between them");
  }
  return at + 1;
}

size_t ListReader::ScanObject(std::string_view bytes, size_t at) {
  const size_t begin = at;
  for (; at < bytes.size(); ++at) {
    Follow(bytes[at]);
    if (depth_ != 2 || is_in_string_) continue;
    ++at;
    last_ = Last::kObject;
    place_ = Place::kItems;
    break;
  }
  const std::string_view got = bytes.substr(begin, at - begin);
  if (object_.size() + got.size() > kLargestObject) return Fail("an object of it is larger than 8 MiB"), at;
  const bool is_whole = place_ == Place::kItems;
  if (is_whole && object_.empty()) return take_(got), at;
  object_.append(got);
  if (is_whole) {
    take_(object_);
    object_.clear();
  }
  return at;
}

bool ListReader::Add(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size() && error_.empty();) {
    switch (place_) {
      case Place::kFrame: at = ScanFrame(bytes, at); break;
      case Place::kItems: at = ScanItems(bytes, at); break;
      case Place::kObject: at = ScanObject(bytes, at); break;
    }
  }
  return error_.empty();
}

absl::StatusOr<ListMeta> ListReader::Finish() {
  ListMeta meta;
  std::string kind;
  bool has_items = false;
  JsonReader json(frame_);
  json.Object([&](std::string_view key) {
    if (key == "metadata") {
      Read(json, meta);
    } else if (key == "kind") {
      kind = json.String();
    } else {
      has_items |= key == "items";
      json.Skip();
    }
  });
  if (error_.empty() && (!json.ok() || !json.AtEnd()))
    error_ = absl::StrCat("it is no list: ", json.ok() ? "something follows it" : json.error());
  if (error_.empty() && kind != kind_) error_ = absl::StrCat("its kind is \"", kind, "\": must be ", kind_);
  if (error_.empty() && !has_items) error_ = "it has no items";
  if (error_.empty() && (meta.version.empty() || meta.version == "0"))
    error_ = "it has no metadata.resourceVersion";
  if (!error_.empty()) return absl::DataLossError(error_);
  return meta;
}

}  // namespace sluice::kubernetes
