// IPVS's synchronisation messages, version 1: connections and templates on their way to another balancer,
// wherever that is.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/conn/sync_update.h"

namespace sluice {

class SyncMessage {
 public:
  // What fits into a packet of Ethernet's.
  static constexpr size_t kMostBytes = 1472;
  static constexpr int kMostRecords = 255;

  explicit SyncMessage(uint8_t sync_id);

  // False: it does not fit any more; send this message and begin another.
  bool Add(const SyncUpdate& update);
  bool empty() const { return records_ == 0; }
  int records() const { return records_; }
  // Whole, as long as nothing is added.
  std::span<const uint8_t> Bytes();
  void Clear();

 private:
  void Put8(uint8_t value) { bytes_[size_++] = value; }
  void Put16(uint16_t value);
  void Put32(uint32_t value);
  void PutAddress(const IpAddress& address, bool is_v6);

  const uint8_t sync_id_;
  std::array<uint8_t, kMostBytes> bytes_;
  size_t size_ = 0;
  int records_ = 0;
};

}  // namespace sluice
