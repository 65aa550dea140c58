// The clients that flows come from, and what a packet of theirs carries.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <time.h>

#include <cstdint>
#include <cstring>

#include "dataplane/net/endpoint.h"

namespace sluice {

// All flows that there can be; established ones come first.
class WireFlows {
 public:
  WireFlows(const IpAddress& first, uint32_t sources) : first_(first), sources_(sources) {}

  uint64_t count() const { return uint64_t{sources_} * kPorts; }
  // Neighbours in number differ in address.
  IpAddress SourceOf(uint64_t flow) const {
    IpAddress address = first_;
    uint32_t low;
    std::memcpy(&low, &address.bytes[12], sizeof low);
    low = Be32::FromHost(Be32{low}.ToHost() + static_cast<uint32_t>(flow % sources_)).raw;
    std::memcpy(&address.bytes[12], &low, sizeof low);
    return address;
  }
  Be16 PortOf(uint64_t flow) const {
    return Be16::FromHost(static_cast<uint16_t>(kFirstPort + flow / sources_ % kPorts));
  }

 private:
  static constexpr uint32_t kFirstPort = 1024;
  static constexpr uint32_t kPorts = 64000;
  const IpAddress first_;
  const uint32_t sources_;
};

// In front of the payload of every packet of ours, echoed as it is.
struct __attribute__((packed)) Probe {
  static constexpr uint16_t kMagic = 0x5be4;
  uint16_t magic = kMagic;
  uint32_t flow = 0;  // UINT32_MAX: not one of the established
  uint32_t sequence = 0;
  uint64_t sent_at = 0;  // by the client's clock
};
static_assert(sizeof(Probe) == 18);

inline uint64_t WireNanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace sluice
