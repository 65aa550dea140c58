// SPDX-License-Identifier: Apache-2.0
#include "bench/forward/traffic.h"

#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "dataplane/net/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/frame.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

constexpr size_t kEthernet = sizeof(EthernetHeader);
constexpr uint32_t kMostFresh = 1u << 31;
constexpr uint16_t kShortest = 60;

uint32_t ShareOf(double share) { return static_cast<uint32_t>(share * 4294967295.0); }

void SetFrame(rte_mbuf* packet, const uint8_t* frame, uint16_t length) {
  uint8_t* to = rte_pktmbuf_mtod(packet, uint8_t*);
  std::memcpy(to, frame, 64);
  if (length > 64) std::memcpy(to + 64, frame + 64, 32);
  packet->data_len = length;
  packet->pkt_len = length;
}

}  // namespace

Traffic::Traffic(const TrafficOptions& options) : options_(options), at_server_(options.flows) {
  SLUICE_CHECK((options.flows & (options.flows - 1)) == 0);
  Packet packet;
  const std::string any = options.v6 ? "::" : "0.0.0.0";
  packet.From(any, 0).To(any, 0);
  const bool is_tcp = options.protocol == Protocol::kTcp;
  is_tcp ? packet.Tcp(kTcpAck) : packet.Udp();
  const size_t bare = packet.Bytes().size();
  if (bare < kShortest) packet.Payload(std::string(kShortest - bare, 'x'));
  const FrameBytes bytes = packet.Bytes();
  SLUICE_CHECK(bytes.size() <= sizeof frame_);
  frame_length_ = static_cast<uint16_t>(bytes.size());
  std::memcpy(frame_, bytes.data(), bytes.size());
  const uint8_t* transport = frame_ + kEthernet + (options.v6 ? sizeof(Ipv6Header) : sizeof(Ipv4Header));
  if (options.protocol == Protocol::kTcp)
    transport_sum_ = static_cast<uint16_t>(~reinterpret_cast<const TcpHeader*>(transport)->checksum);
  if (options.v6) return;
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(frame_ + kEthernet);
  header_sum_ = FoldSum(SumBytes(&ip, sizeof ip)) + static_cast<uint16_t>(~ip.checksum);
}

IpAddress Traffic::Address(Network network, uint32_t number) const {
  IpAddress address = IpAddress::FromV4(Be32::FromHost((uint32_t{network} << 24) + number));
  if (!options_.v6) return address;
  address.bytes[0] = 0xfd;
  return IpAddress::FromV6(Ipv6Address{address.bytes});
}

void Traffic::LearnAtServer(uint32_t flow, const rte_mbuf& sent) {
  const uint8_t* ip = rte_pktmbuf_mtod_offset(&sent, const uint8_t*, kEthernet);
  FlowAtServer& at_server = at_server_[flow];
  at_server.local_port = ClientPortOf(flow);
  IpAddress source, destination;
  const uint8_t* transport = nullptr;
  if (options_.v6) {
    source = IpAddress::FromV6(reinterpret_cast<const Ipv6Header*>(ip)->source);
    destination = IpAddress::FromV6(reinterpret_cast<const Ipv6Header*>(ip)->destination);
    transport = ip + sizeof(Ipv6Header);
  } else {
    source = IpAddress::FromV4(reinterpret_cast<const Ipv4Header*>(ip)->source);
    destination = IpAddress::FromV4(reinterpret_cast<const Ipv4Header*>(ip)->destination);
    transport = ip + sizeof(Ipv4Header);
  }
  // With direct routing and tunnels it does not tell, and nobody answers over here.
  for (int server = 0; server < kBenchServers; ++server) {
    if (destination == ServerAt(server)) at_server.server = static_cast<uint8_t>(server);
  }
  for (int local = 0; local < kBenchLocals; ++local) {
    if (source != LocalAt(local)) continue;
    at_server.local = static_cast<uint8_t>(local);
    at_server.local_port = reinterpret_cast<const UdpHeader*>(transport)->source_port;
  }
}

// The address itself, as the header has it: an IpAddress is assembled in bytes, and a load of it waits for
// them.
template <>
Be32 Traffic::Wire<Be32>(Network network, uint32_t number) const {
  return Be32::FromHost((uint32_t{network} << 24) + number);
}
template <>
Ipv6Address Traffic::Wire<Ipv6Address>(Network network, uint32_t number) const {
  constexpr uint64_t kFirst = 0xfd;
  return std::bit_cast<Ipv6Address>(std::array{kFirst, uint64_t{Wire<Be32>(network, number).raw} << 32});
}

template <class Header, class Ip>
void Traffic::Write(rte_mbuf* packet, Ip source, Be16 source_port, Ip destination, Be16 destination_port,
                    uint8_t tcp_flags) const {
  SetFrame(packet, frame_, frame_length_);
  auto& ip = *rte_pktmbuf_mtod_offset(packet, Header*, kEthernet);
  ip.source = source;
  ip.destination = destination;
  uint64_t sum = 0;
  if constexpr (std::is_same_v<Ip, Be32>) {
    sum = uint64_t{source.raw} + destination.raw;
    ip.checksum = static_cast<uint16_t>(~FoldSum(header_sum_ + sum));
  }
  auto* transport = reinterpret_cast<uint8_t*>(&ip + 1);
  auto& ports = *reinterpret_cast<UdpHeader*>(transport);
  ports.source_port = source_port;
  ports.destination_port = destination_port;
  // Nobody verifies UDP's on the way: it is right for no addresses and ports at all.
  if (options_.protocol != Protocol::kTcp) return;
  if constexpr (!std::is_same_v<Ip, Be32>) sum = SumBytes(&ip.source, 2 * sizeof ip.source);
  auto& tcp = *reinterpret_cast<TcpHeader*>(transport);
  tcp.flags = tcp_flags;
  tcp.checksum = static_cast<uint16_t>(
      ~FoldSum(transport_sum_ + sum + source_port.raw + destination_port.raw +
               SumOfChange16(uint16_t{kTcpAck} << 8, static_cast<uint16_t>(tcp_flags << 8))));
}

template <class Header, class Ip>
void Traffic::WriteFromClient(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const {
  Write<Header, Ip>(packet, Wire<Ip>(kClients, flow >> 12), ClientPortOf(flow),
                    Wire<Ip>(kServices, ServiceNumberOf(flow)), kServicePort, tcp_flags);
}

void Traffic::WriteOfClient(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const {
  if (options_.v6) return WriteFromClient<Ipv6Header, Ipv6Address>(packet, flow, tcp_flags);
  WriteFromClient<Ipv4Header, Be32>(packet, flow, tcp_flags);
}

template <class Header, class Ip>
void Traffic::WriteFromServer(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const {
  const FlowAtServer& at_server = at_server_[flow];
  Write<Header, Ip>(
      packet, Wire<Ip>(kServers, at_server.server + 1u), kServerPort,
      at_server.local == 0xff ? Wire<Ip>(kClients, flow >> 12) : Wire<Ip>(kLocals, at_server.local + 1u),
      at_server.local_port, tcp_flags);
}

void Traffic::WriteAnswer(rte_mbuf* packet, uint32_t flow, uint8_t tcp_flags) const {
  if (options_.v6) return WriteFromServer<Ipv6Header, Ipv6Address>(packet, flow, tcp_flags);
  WriteFromServer<Ipv4Header, Be32>(packet, flow, tcp_flags);
}

void Traffic::WriteFragment(rte_mbuf* packet, uint32_t flow, uint16_t identification, bool first) const {
  WriteOfClient(packet, flow, kTcpAck);
  auto& ip = *rte_pktmbuf_mtod_offset(packet, Ipv4Header*, kEthernet);
  const auto length = static_cast<uint16_t>(ip.total_length.ToHost() - sizeof ip);
  ip.identification = Be16::FromHost(identification);
  // As if there were 1,400 bytes in front of the second.
  ip.flags_and_offset = first ? kIpv4MoreFragments : Be16::FromHost(1400 / 8);
  if (first) ip.total_length = Be16::FromHost(static_cast<uint16_t>(sizeof ip + length / 8 * 8));
  ip.checksum = 0;
  ip.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&ip, sizeof ip)));
}

Source::Source(const Traffic& traffic, std::vector<uint32_t> mine, const FlowOwners& owners, uint32_t index)
    : traffic_(traffic),
      mine_(std::move(mine)),
      owners_(owners),
      index_(index),
      mask_(traffic.options().flows - 1),
      next_fresh_(traffic.options().flows),
      fresh_share_(ShareOf(traffic.options().fresh)),
      answer_share_(ShareOf(traffic.options().answers)),
      fragment_share_(ShareOf(traffic.options().fragments / 2)) {}

// Every flow once in a period, neighbours far apart.
uint32_t Source::Next() {
  if (mine_.empty()) return state_ = (state_ * 0x5851f42du + 0x14057b7fu) & mask_;
  if (++state_ >= mine_.size()) state_ = 0;
  return mine_[state_];
}

uint32_t Source::NextFresh() {
  do {
    if (++next_fresh_ == kMostFresh) next_fresh_ = traffic_.options().flows;
  } while (owners_.workers > 1 &&
           owners_.OwnerOf(traffic_.ClientOf(next_fresh_), Traffic::ClientPortOf(next_fresh_),
                           traffic_.options().protocol) != index_);
  return next_fresh_;
}

void Source::Write(rte_mbuf** packets, int count) {
  uint32_t flows[kBurst];
  for (int i = 0; i < count; ++i) flows[i] = Next();
  if (answer_share_ > 0) {
    for (int i = 0; i < count; ++i) traffic_.PrefetchAtServer(flows[i]);
  }
  uint64_t fresh = 0;
  for (int i = 0; i < count; ++i) {
    if (IsDue(fresh_owed_, fresh_share_)) {
      traffic_.WriteOfClient(packets[i], NextFresh(), kTcpSyn);
      ++fresh;
    } else if (IsDue(answers_owed_, answer_share_)) {
      traffic_.WriteAnswer(packets[i], flows[i], kTcpAck);
    } else if (i + 1 < count && IsDue(fragments_owed_, fragment_share_)) {
      traffic_.WriteFragment(packets[i], flows[i], ++identification_, true);
      traffic_.WriteFragment(packets[i + 1], flows[i], identification_, false);
      ++i;
    } else {
      traffic_.WriteOfClient(packets[i], flows[i], kTcpAck);
    }
  }
  const auto add = [](std::atomic<uint64_t>& to, uint64_t by) {
    to.store(to.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  };
  add(counts_.packets, static_cast<uint64_t>(count));
  add(counts_.fresh, fresh);
  if (watch_) watch_();
}

}  // namespace sluice
