// SPDX-License-Identifier: Apache-2.0
#include "bench/forward/referee.h"

#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

namespace sluice {
namespace {

constexpr uint8_t kHopsLeft = 63;

struct Ends {
  IpAddress source, destination;
  uint8_t hops;
  uint8_t protocol;
  size_t header;
};

Ends EndsOf(const uint8_t* ip, bool v6) {
  if (v6) {
    const auto& header = *reinterpret_cast<const Ipv6Header*>(ip);
    return {IpAddress::FromV6(header.source), IpAddress::FromV6(header.destination), header.hop_limit,
            header.next_header, sizeof header};
  }
  const auto& header = *reinterpret_cast<const Ipv4Header*>(ip);
  return {IpAddress::FromV4(header.source), IpAddress::FromV4(header.destination), header.time_to_live,
          header.protocol, sizeof header};
}

// In ones' complement, of which 0xffff is a zero.
uint64_t SumOf(const void* bytes, size_t length) { return FoldSum(SumBytes(bytes, length)); }
uint64_t SumOf(const IpAddress& address) { return SumOf(address.bytes.data(), address.bytes.size()); }
uint64_t SumOf(Be16 word) { return word.raw; }
bool IsSameSum(uint64_t one, uint64_t other) { return FoldSum(one) % 0xffff == FoldSum(other) % 0xffff; }

}  // namespace

bool Referee::IsTranslated(const uint8_t* ip, size_t length) const {
  const bool v6 = traffic_.options().v6;
  const Ends ends = EndsOf(ip, v6);
  const auto& ports = *reinterpret_cast<const UdpHeader*>(ip + ends.header);
  bool to_server = false;
  for (int server = 0; server < kBenchServers; ++server)
    to_server |= ends.destination == traffic_.ServerAt(server);
  if (!to_server || ports.destination_port != Traffic::kServerPort || ends.hops != kHopsLeft) return false;
  if (!v6 && !IsSameSum(SumOf(ip, sizeof(Ipv4Header)), 0)) return false;
  const size_t carried = length - ends.header;
  const uint64_t sum = SumOf(ends.source) + SumOf(ends.destination) + SumOf(Be16::FromHost(ends.protocol)) +
                       SumOf(Be16::FromHost(static_cast<uint16_t>(carried))) +
                       SumOf(ip + ends.header, carried);
  // UDP's checksum is right for no addresses and ports at all (Traffic::Write): whoever mends it by the
  // difference leaves the sum as far off as the client's addresses and ports had made it.
  const uint32_t flow = traffic_.FlowOf(ends.source, ports.source_port);
  const uint64_t off = traffic_.options().protocol == Protocol::kTcp
                           ? 0
                           : SumOf(ends.source) + SumOf(traffic_.ServiceOf(flow)) + SumOf(ports.source_port) +
                                 SumOf(Traffic::kServicePort);
  return IsSameSum(sum, off);
}

void Referee::Look(rte_mbuf* const* packets, int count) {
  uint64_t seen = 0, wrong = 0;
  for (int i = 0; i < count; ++i) {
    const auto* ip = rte_pktmbuf_mtod_offset(packets[i], const uint8_t*, sizeof(EthernetHeader));
    const Ends ends = EndsOf(ip, traffic_.options().v6);
    if (!traffic_.IsClient(ends.source)) continue;
    ++seen;
    wrong += !IsTranslated(ip, packets[i]->data_len - sizeof(EthernetHeader));
  }
  seen_ += seen;
  wrong_ += wrong;
}

}  // namespace sluice
