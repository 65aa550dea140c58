// Finds the transport of an IPv6 packet behind its extension headers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/net/headers.h"

namespace sluice {

struct Ipv6Transport {
  uint8_t protocol = 0;  // of the transport, or of a header that Sluice does not look into
  uint16_t at = 0;       // from the IPv6 header on
  const Ipv6FragmentHeader* fragment = nullptr;  // the packet is part of a datagram
  bool is_routed_on = false;                     // a routing header names hops that are still to come

  bool IsLaterFragment() const { return fragment != nullptr && fragment->offset_and_more.ToHost() >> 3 != 0; }
  bool IsFirstFragment() const {
    return fragment != nullptr && !IsLaterFragment() && (fragment->offset_and_more.ToHost() & 1) != 0;
  }
  // Fragments of one datagram have this in common besides their addresses.
  Be32 identification() const { return fragment->identification; }
};

// Looks at no more than `available` bytes. Nothing: they end within the headers, or there are too many.
std::optional<Ipv6Transport> FindIpv6Transport(const Ipv6Header& ip, uint32_t available);

}  // namespace sluice
