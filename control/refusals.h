// What was wrong with a request: every fault with the path of its field, the value and the rule. As an
// absl::Status on the way out, with the list as its payload.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  bool Any() const { return refusals_.refusals_size() > 0; }
  int Count() const { return refusals_.refusals_size(); }

  // OK if there are none. Otherwise the code is that of the first.
  absl::Status ToStatus() const;

 private:
  v1::Refusals refusals_;
  bool forgives_absent_interfaces_ = false;
};

// The list in a status that Problems made; empty for another.
v1::Refusals RefusalsOf(const absl::Status& status);

}  // namespace sluice
