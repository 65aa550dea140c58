// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/reset.h"

#include <utility>

#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/frame.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

constexpr uint8_t kTtl = 64;
constexpr auto kTcp = static_cast<uint8_t>(Protocol::kTcp);

// All of the answer but for its checksum.
TcpHeader AnswerTo(const TcpHeader& segment, uint32_t payload) {
  TcpHeader answer{};
  answer.source_port = segment.destination_port;
  answer.destination_port = segment.source_port;
  answer.data_offset = sizeof(TcpHeader) / 4 << 4;
  if (segment.flags & kTcpAck) {
    answer.sequence = segment.acknowledgement;
    answer.flags = kTcpRst;
    return answer;
  }
  const uint32_t length = payload + ((segment.flags & kTcpSyn) ? 1 : 0) + ((segment.flags & kTcpFin) ? 1 : 0);
  answer.acknowledgement = Be32::FromHost(segment.sequence.ToHost() + length);
  answer.flags = kTcpRst | kTcpAck;
  return answer;
}

// Returns the sum of the pseudo header.
uint64_t TurnHeader(Ipv4Header& ip) {
  std::swap(ip.source, ip.destination);
  ip.version_and_length = 0x45;
  ip.type_of_service = 0;
  ip.total_length = Be16::FromHost(sizeof(Ipv4Header) + sizeof(TcpHeader));
  ip.identification = Be16{};
  ip.flags_and_offset = kIpv4DontFragment;
  ip.time_to_live = kTtl;
  ip.checksum = 0;
  ip.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&ip, sizeof ip)));
  return SumOfPseudoHeader(ip.source, ip.destination, kTcp, sizeof(TcpHeader));
}

uint64_t TurnHeader(Ipv6Header& ip) {
  ip = {.version_class_label = FirstWordOfIpv6(0),
        .payload_length = Be16::FromHost(sizeof(TcpHeader)),
        .next_header = kTcp,
        .hop_limit = kTtl,
        .source = ip.destination,
        .destination = ip.source};
  return SumOfPseudoHeader(ip.source, ip.destination, kTcp, sizeof(TcpHeader));
}

}  // namespace

void TurnIntoReset(Batch& batch, int lane) {
  const bool is_v6 = IsV6Header(batch.ip[lane]);
  const TcpHeader segment = *reinterpret_cast<const TcpHeader*>(batch.transport(lane));
  const uint32_t payload =
      batch.ip_length[lane] - uint32_t{batch.transport_at[lane]} - (segment.data_offset >> 4) * 4u;
  const uint64_t pseudo = is_v6 ? TurnHeader(batch.v6(lane)) : TurnHeader(batch.v4(lane));
  const uint16_t header = is_v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header);
  auto& tcp = *reinterpret_cast<TcpHeader*>(batch.ip[lane] + header);
  tcp = AnswerTo(segment, payload);
  tcp.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&tcp, sizeof tcp) + pseudo));

  rte_mbuf& packet = *batch.packet[lane];
  DropBehindFirstSegment(packet);
  batch.ip_length[lane] = static_cast<uint16_t>(header + sizeof tcp);
  packet.data_len = static_cast<uint16_t>(BytesBefore(packet, batch.ip[lane]) + batch.ip_length[lane]);
  packet.pkt_len = packet.data_len;
}

}  // namespace sluice
