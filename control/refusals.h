// What was wrong with a request: every fault with the path of its field, the value and the rule. As an
// absl::Status on the way out, with the list as its payload. The list travels in a gRPC trailer, of which
// peers take 8 KB: it is bounded, and counts the faults that it has no room for.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

class Problems {
 public:
  void Add(v1::RefusalReason reason, const std::string& field, const std::string& message);
  // While what was kept is restored, interfaces of the host may not be there yet.
  void ForgiveAbsentInterfaces() { forgives_absent_interfaces_ = true; }
  bool forgives_absent_interfaces() const { return forgives_absent_interfaces_; }
  bool Any() const { return count_ > 0; }
  // Those that are not kept, too.
  int Count() const { return count_; }

  // OK if there are none. Otherwise the code is that of the first.
  absl::Status ToStatus() const;

 private:
  v1::Refusals refusals_;
  size_t bytes_ = 0;  // of the refusals as they travel
  int count_ = 0;
  bool forgives_absent_interfaces_ = false;
};

// The list in a status that Problems made; empty for another.
v1::Refusals RefusalsOf(const absl::Status& status);

// "and 7 more", for people; empty: all are told.
std::string LeftOutInWords(const v1::Refusals& refusals);

}  // namespace sluice
