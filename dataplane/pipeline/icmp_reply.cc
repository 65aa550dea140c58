// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/icmp_reply.h"

#include <algorithm>

#include "dataplane/net/checksum.h"
#include "dataplane/net/flow_key.h"

namespace sluice {
namespace {

constexpr uint16_t kMostBytes = 576;
constexpr uint8_t kTtl = 64;
// Internetwork control, beside what the packet asked for, as a host has it.
constexpr uint8_t kPrecedence = 0xc0;
constexpr uint8_t kTypeOfServiceMask = 0x1e;
constexpr uint16_t kHeaders = sizeof(Ipv4Header) + sizeof(IcmpHeader);

void CutTo(rte_mbuf& packet, uint32_t length) {
  if (packet.next != nullptr) rte_pktmbuf_free(packet.next);
  packet.next = nullptr;
  packet.nb_segs = 1;
  packet.data_len = static_cast<uint16_t>(length);
  packet.pkt_len = length;
}

}  // namespace

Ipv4Header* TurnIntoIcmpError(const IcmpError& error, const Ipv4Header& ip, rte_mbuf& packet) {
  // What is quoted must be in the first segment, where all headers are.
  const auto in_front = static_cast<uint16_t>(sizeof(EthernetHeader));
  const uint16_t quoted =
      std::min<uint16_t>({static_cast<uint16_t>(kMostBytes - kHeaders), ip.total_length.ToHost(),
                          static_cast<uint16_t>(packet.data_len - in_front)});
  const auto type_of_service = static_cast<uint8_t>((ip.type_of_service & kTypeOfServiceMask) | kPrecedence);
  const Be32 sender = ip.source;
  const Be32 in_the_name_of = ip.destination;
  CutTo(packet, in_front + quoted);
  char* start = rte_pktmbuf_prepend(&packet, kHeaders);
  if (start == nullptr) return nullptr;
  auto* outer = reinterpret_cast<Ipv4Header*>(start + in_front);
  *outer = {.version_and_length = 0x45,
            .type_of_service = type_of_service,
            .total_length = Be16::FromHost(static_cast<uint16_t>(kHeaders + quoted)),
            .identification = Be16{},
            .flags_and_offset = Be16{},
            .time_to_live = kTtl,
            .protocol = static_cast<uint8_t>(Protocol::kIcmp),
            .checksum = 0,
            .source = in_the_name_of,
            .destination = sender};
  outer->checksum = static_cast<uint16_t>(~FoldSum(SumBytes(outer, sizeof *outer)));
  auto& icmp = *reinterpret_cast<IcmpHeader*>(outer + 1);
  icmp = {.type = error.type,
          .code = error.code,
          .checksum = 0,
          .unused = Be16{},
          .mtu = Be16::FromHost(error.mtu)};
  icmp.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&icmp, sizeof icmp + quoted)));
  return outer;
}

}  // namespace sluice
