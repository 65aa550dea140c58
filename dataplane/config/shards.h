// Something in parts that its copies share until one is changed: a copy costs as many pointers as there are
// parts, and a change the one part it is in.
// Threads: a value; what is shared is never changed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <memory>

namespace sluice {

template <class Shard>
class Shards {
 public:
  static constexpr size_t kCount = 256;

  Shards() = default;
  Shards(Shards&&) = default;
  Shards& operator=(Shards&&) = default;

  // A copy. What it has is no longer this one's alone.
  Shards Share() {
    own_.reset();
    return *this;
  }

  // nullptr: nothing was ever put there. `place` is below kCount.
  const Shard* Get(size_t place) const { return shards_[place].get(); }
  Shard& Own(size_t place) {
    std::shared_ptr<Shard>& shard = shards_[place];
    if (!own_[place]) {
      shard = shard == nullptr ? std::make_shared<Shard>() : std::make_shared<Shard>(*shard);
      own_.set(place);
    }
    return *shard;
  }

 private:
  Shards(const Shards&) = default;

  std::array<std::shared_ptr<Shard>, kCount> shards_;
  std::bitset<kCount> own_;
};

}  // namespace sluice
