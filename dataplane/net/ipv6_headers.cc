// SPDX-License-Identifier: Apache-2.0
#include "dataplane/net/ipv6_headers.h"

namespace sluice {
namespace {

constexpr int kMostHeaders = 8;

struct __attribute__((packed)) ExtensionHeader {
  uint8_t next_header;
  uint8_t length;  // in units of eight bytes behind the first eight; of an authentication header in fours
  uint8_t routing_type;
  uint8_t segments_left;  // of a routing header
};

bool IsExtension(uint8_t header) {
  return header == kIpv6HopByHop || header == kIpv6Routing || header == kIpv6Fragment ||
         header == kIpv6Authentication || header == kIpv6DestinationOptions;
}

uint32_t SizeOf(uint8_t kind, const ExtensionHeader& header) {
  if (kind == kIpv6Fragment) return sizeof(Ipv6FragmentHeader);
  return kind == kIpv6Authentication ? (header.length + 2u) * 4 : (header.length + 1u) * 8;
}

}  // namespace

std::optional<Ipv6Transport> FindIpv6Transport(const Ipv6Header& ip, uint32_t available) {
  const auto* start = reinterpret_cast<const uint8_t*>(&ip);
  Ipv6Transport found{.protocol = ip.next_header, .at = sizeof ip};
  for (int i = 0; IsExtension(found.protocol); ++i) {
    // Every one of them has at least eight bytes.
    if (i == kMostHeaders || available < found.at + 8u) return std::nullopt;
    const auto& header = *reinterpret_cast<const ExtensionHeader*>(start + found.at);
    if (found.protocol == kIpv6Routing && header.segments_left > 0) found.is_routed_on = true;
    if (found.protocol == kIpv6Fragment)
      found.fragment = reinterpret_cast<const Ipv6FragmentHeader*>(start + found.at);
    const uint32_t size = SizeOf(found.protocol, header);
    if (available < found.at + size) return std::nullopt;
    found.at = static_cast<uint16_t>(found.at + size);
    found.protocol = header.next_header;
    // What follows in a later fragment is the middle of something.
    if (found.IsLaterFragment()) return found;
  }
  return found;
}

}  // namespace sluice
