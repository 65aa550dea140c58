// The destinations that lblcr has found for an address, the newest first. The kernel's sets grow without
// limit; one that has outgrown this one is everybody's.
// Threads: the caller's lock.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "schedulers/scheduler.h"

namespace sluice {

class ServerSet {
 public:
  static constexpr size_t kMostMembers = 32;

  std::span<const DestinationId> members() const { return {members_.data(), count_}; }
  bool is_everybody() const { return is_everybody_; }
  bool CanShrink() const { return is_everybody_ || count_ > 1; }

  // False: it is a member already.
  bool Add(DestinationId id) {
    if (is_everybody_ || Has(id)) return false;
    is_everybody_ = count_ == kMostMembers;
    if (is_everybody_) return true;
    std::copy_backward(members_.begin(), members_.begin() + count_, members_.begin() + count_ + 1);
    members_[0] = id;
    ++count_;
    return true;
  }
  template <class Condition>
  void RemoveIf(Condition condition) {
    count_ = static_cast<uint32_t>(std::remove_if(members_.begin(), members_.begin() + count_, condition) -
                                   members_.begin());
  }
  void LeaveToMembers() { is_everybody_ = false; }

 private:
  bool Has(DestinationId id) const {
    return std::find(members_.begin(), members_.begin() + count_, id) != members_.begin() + count_;
  }

  uint32_t count_ = 0;
  bool is_everybody_ = false;
  std::array<DestinationId, kMostMembers> members_;
};

}  // namespace sluice
