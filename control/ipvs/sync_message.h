// IPVS's synchronisation messages, version 1: connections and templates on their way to another balancer,
// wherever that is.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/conn/sync_update.h"

namespace sluice {

class SyncMessage {
 public:
  // What fits into a packet of Ethernet's.
  static constexpr size_t kMostBytes = 1472;
  static constexpr int kMostRecords = 255;

  explicit SyncMessage(uint8_t sync_id);

  // False: it does not fit any more; send this message and begin another. `fwmark`: of the packets that its
  // service gets by one.
  bool Add(const SyncUpdate& update, uint32_t fwmark);
  bool empty() const { return records_ == 0; }
  int records() const { return records_; }
  // Whole, as long as nothing is added.
  std::span<const uint8_t> Bytes();
  void Clear();

 private:
  const uint8_t sync_id_;
  std::vector<uint8_t> bytes_;
  int records_ = 0;
};

}  // namespace sluice
