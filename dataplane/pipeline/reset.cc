// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/reset.h"

#include <utility>

#include "dataplane/net/checksum.h"

namespace sluice {
namespace {

constexpr uint8_t kTtl = 64;
constexpr uint16_t kIpAndTcp = sizeof(Ipv4Header) + sizeof(TcpHeader);

}  // namespace

void TurnIntoReset(rte_mbuf& packet, Ipv4Header& ip) {
  const auto* start = reinterpret_cast<const uint8_t*>(&ip);
  const TcpHeader segment = *reinterpret_cast<const TcpHeader*>(start + ip.header_length());
  const uint32_t payload =
      ip.total_length.ToHost() - static_cast<uint32_t>(ip.header_length()) - (segment.data_offset >> 4) * 4u;
  const uint32_t length = payload + ((segment.flags & kTcpSyn) ? 1 : 0) + ((segment.flags & kTcpFin) ? 1 : 0);

  std::swap(ip.source, ip.destination);
  ip.version_and_length = 0x45;
  ip.type_of_service = 0;
  ip.total_length = Be16::FromHost(kIpAndTcp);
  ip.identification = Be16{};
  ip.flags_and_offset = kIpv4DontFragment;
  ip.time_to_live = kTtl;
  ip.checksum = 0;
  ip.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&ip, sizeof ip)));

  auto& tcp = *reinterpret_cast<TcpHeader*>(&ip + 1);
  tcp = {};
  tcp.source_port = segment.destination_port;
  tcp.destination_port = segment.source_port;
  tcp.data_offset = sizeof(TcpHeader) / 4 << 4;
  if (segment.flags & kTcpAck) {
    tcp.sequence = segment.acknowledgement;
    tcp.flags = kTcpRst;
  } else {
    tcp.acknowledgement = Be32::FromHost(segment.sequence.ToHost() + length);
    tcp.flags = kTcpRst | kTcpAck;
  }
  const uint64_t sum = SumBytes(&tcp, sizeof tcp) + ip.source.raw + ip.destination.raw +
                       Be16::FromHost(ip.protocol).raw + Be16::FromHost(sizeof tcp).raw;
  tcp.checksum = static_cast<uint16_t>(~FoldSum(sum));

  if (packet.next != nullptr) {
    rte_pktmbuf_free(packet.next);
    packet.next = nullptr;
    packet.nb_segs = 1;
  }
  packet.data_len = packet.pkt_len = sizeof(EthernetHeader) + kIpAndTcp;
}

}  // namespace sluice
