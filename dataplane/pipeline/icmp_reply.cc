// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/icmp_reply.h"

#include <algorithm>
#include <utility>

#include "dataplane/net/pseudo_header.h"
#include "dataplane/pipeline/batch.h"
#include "dataplane/pipeline/frame.h"
#include "dataplane/pipeline/segments.h"

namespace sluice {
namespace {

constexpr uint16_t kMostBytesV4 = 576;
constexpr uint8_t kTtl = 64;
// Internetwork control, beside what the packet asked for, as a host has it.
constexpr uint8_t kPrecedence = 0xc0;
constexpr uint8_t kTypeOfServiceMask = 0x1e;

// Makes the packet `headers` and, behind them, what is quoted of it: that must be in the first segment.
// Returns the packet's length; 0: there is no room in front.
uint16_t Quote(Batch& batch, int lane, uint16_t headers, uint16_t most) {
  rte_mbuf& packet = *batch.packet[lane];
  uint8_t* start = batch.ip[lane] - headers;
  if (!HasRoomFor(packet, start)) return 0;
  const auto present = static_cast<uint16_t>(packet.data_len - BytesBefore(packet, batch.ip[lane]));
  const uint16_t quoted = std::min({static_cast<uint16_t>(most - headers), batch.ip_length[lane], present});
  DropBehindFirstSegment(packet);
  BeginAt(packet, start);
  const auto length = static_cast<uint16_t>(headers + quoted);
  packet.data_len = length;
  packet.pkt_len = length;
  batch.ip[lane] = start;
  batch.ip_length[lane] = length;
  return length;
}

IcmpHeader HeaderOf(const IcmpError& error) {
  return {.type = error.type,
          .code = error.code,
          .checksum = 0,
          .unused = Be16{},
          .mtu = Be16::FromHost(error.mtu)};
}

bool TurnV4(const IcmpError& error, Be32 in_the_name_of, Batch& batch, int lane) {
  constexpr uint16_t kHeaders = sizeof(Ipv4Header) + sizeof(IcmpHeader);
  const Ipv4Header& about = batch.v4(lane);
  const auto type_of_service =
      static_cast<uint8_t>((about.type_of_service & kTypeOfServiceMask) | kPrecedence);
  const Be32 sender = about.source;
  const uint16_t length = Quote(batch, lane, kHeaders, kMostBytesV4);
  if (length == 0) return false;
  Ipv4Header& ip = batch.v4(lane);
  ip = {.version_and_length = 0x45,
        .type_of_service = type_of_service,
        .total_length = Be16::FromHost(length),
        .identification = Be16{},
        .flags_and_offset = Be16{},
        .time_to_live = kTtl,
        .protocol = static_cast<uint8_t>(Protocol::kIcmp),
        .checksum = 0,
        .source = in_the_name_of,
        .destination = sender};
  ip.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&ip, sizeof ip)));
  auto& icmp = *reinterpret_cast<IcmpHeader*>(&ip + 1);
  icmp = HeaderOf(error);
  icmp.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&icmp, length - sizeof ip)));
  return true;
}

bool TurnV6(const IcmpError& error, const Ipv6Address& in_the_name_of, Batch& batch, int lane) {
  constexpr uint16_t kHeaders = sizeof(Ipv6Header) + sizeof(IcmpHeader);
  constexpr auto kIcmpv6 = static_cast<uint8_t>(Protocol::kIcmpv6);
  const Ipv6Address sender = batch.v6(lane).source;
  const uint16_t length = Quote(batch, lane, kHeaders, kIpv6LeastMtu);
  if (length == 0) return false;
  Ipv6Header& ip = batch.v6(lane);
  const auto message = static_cast<uint16_t>(length - sizeof ip);
  ip = {.version_class_label = FirstWordOfIpv6(0),
        .payload_length = Be16::FromHost(message),
        .next_header = kIcmpv6,
        .hop_limit = kTtl,
        .source = in_the_name_of,
        .destination = sender};
  auto& icmp = *reinterpret_cast<IcmpHeader*>(&ip + 1);
  icmp = HeaderOf(error);
  icmp.checksum = static_cast<uint16_t>(
      ~FoldSum(SumBytes(&icmp, message) + SumOfPseudoHeader(ip.source, ip.destination, kIcmpv6, message)));
  return true;
}

}  // namespace

void TurnIntoEchoReply(Batch& batch, int lane) {
  auto& icmp = *reinterpret_cast<IcmpHeader*>(batch.transport(lane));
  const uint8_t type = icmp.type;
  if (IsV6Header(batch.ip[lane])) {
    Ipv6Header& ip = batch.v6(lane);
    std::swap(ip.source, ip.destination);
    ip.hop_limit = kTtl;
    icmp.type = kIcmpv6EchoReply;
  } else {
    Ipv4Header& ip = batch.v4(lane);
    std::swap(ip.source, ip.destination);
    ip.time_to_live = kTtl;
    ip.checksum = 0;
    ip.checksum = static_cast<uint16_t>(~FoldSum(SumOfPlainHeader(ip)));
    icmp.type = kIcmpEchoReply;
  }
  icmp.checksum = UpdateChecksum(icmp.checksum, FoldSum(SumOfChange16(type, icmp.type)));
}

bool TurnIntoIcmpError(const IcmpError& error, const IpAddress& in_the_name_of, Batch& batch, int lane) {
  return IsV6Header(batch.ip[lane]) ? TurnV6(error, in_the_name_of.V6(), batch, lane)
                                    : TurnV4(error, in_the_name_of.V4(), batch, lane);
}

}  // namespace sluice
