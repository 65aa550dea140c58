// Takes a list of the API server's apart while it arrives: one object is held at a time, never the whole answer, and
// every object is bounded.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {

// etcd takes no object above 1.5 MiB; JSON makes it longer.
inline constexpr size_t kLargestObject = size_t{8} << 20;

class ListReader {
 public:
  // `kind`: the list's, "ServiceList"; `take` gets the text of each of its objects.
  ListReader(std::string kind, std::function<void(std::string_view)> take)
      : kind_(std::move(kind)), take_(std::move(take)) {}

  // False: it is no list, and nothing more is read.
  bool Add(std::string_view bytes);
  // After the last byte: the list's own metadata, or why it is no list.
  absl::StatusOr<ListMeta> Finish();

 private:
  bool Fail(const char* what);
  // Each looks at bytes from `at` on, and returns how far it got.
  size_t ScanFrame(std::string_view bytes, size_t at);
  size_t ScanItems(std::string_view bytes, size_t at);
  size_t ScanObject(std::string_view bytes, size_t at);
  // Follows strings and brackets by one byte.
  void Follow(char byte);
  bool ItemsBegin() const;

  const std::string kind_;
  const std::function<void(std::string_view)> take_;
  enum class Place { kFrame, kItems, kObject };
  Place place_ = Place::kFrame;
  enum class Last { kBegin, kComma, kObject };
  Last last_ = Last::kBegin;  // what was met within the items
  int depth_ = 0;
  bool is_in_string_ = false;
  bool is_escaped_ = false;
  std::string frame_;   // the list without its objects
  std::string object_;  // as far as it has arrived
  std::string error_;
};

}  // namespace sluice::kubernetes
