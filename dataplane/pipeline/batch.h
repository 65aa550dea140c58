// Up to 32 packets on their way through the pipeline, and what the stages have learnt about them, in
// parallel arrays: between Parse and Rewrite nobody touches packet memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/conn/connection_table.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/headers.h"
#include "dataplane/pipeline/kernel_class.h"
#include "dataplane/pipeline/lanes.h"

namespace sluice {

struct Service;

struct IcmpError {
  uint8_t type;
  uint8_t code;
  uint16_t mtu;  // of "fragmentation needed" and "packet too big"
};

// Where a packet goes in the end.
enum class Verdict : uint8_t {
  kNone,
  kWire,          // rewritten, to hop[lane]'s port
  kSplit,         // the same, in fragments: it is too large
  kKernelInput,   // as it came, as if the kernel had received it
  kKernelOutput,  // rewritten; the kernel finds the next hop
  kPeer,          // as it came, to worker owner[lane]
  kHeld,          // waits for the first fragment of its datagram
  kAnswer,        // turned into answer[lane], goes back to its sender
  kDrop,
};

// What a sender is told about a packet that goes no further.
enum class Reply : uint8_t {
  kEcho,
  kReset,
  kPortUnreachable,
  kNoConnection,  // the same, to a real server, in the host's name
  kHostUnreachable,
  kRelayed,  // with type and code of relayed[lane]
  kTimeExceeded,
  kTooBig,
};

// Quoted tunnel packet of an ICMP error, and what the error says of the way to it.
struct QuotedTunnel {
  IpAddress source;
  IpAddress destination;
  IpAddress told;  // to whom the error was sent
  uint8_t protocol = 0;
  Be16 udp_source;
  Be16 udp_destination;
  uint16_t length = 0;
  uint32_t mtu = 0;  // that the error names
  bool is_checksum_right = false;
};

// What Parse found a sound packet to be.
enum class PacketKind : uint8_t {
  kFlow,           // TCP, UDP or SCTP, with its ports
  kLaterFragment,  // of such a datagram, but not the first: its ports were learnt from that
  kEcho,           // request, whole; its tuple has no ports
  kIcmpError,      // about a TCP, UDP or SCTP packet
  kTunnelError,    // ICMP about a packet in a tunnel of ours; the lane is about the inner packet
  kIcmp,
  kFragment,
  kOtherProtocol,
  kArp,
  kIpv6Headers,  // which Sluice does not look behind
  kVlan,
  kOtherEtherType,
  kGroupAddress,
};

struct Batch {
  int count = 0;
  bool from_peer = false;  // handed over by another worker: must not change worker again
  rte_mbuf* packet[kBurst];

  // Parse
  PacketKind kind[kBurst];
  uint8_t signal[kBurst];  // TCP's flags, or the SctpEvent; 0 for UDP
  LaneMask first_fragments = 0;
  LaneMask plain = 0;             // kFlow, TCP or UDP, whole, without IP options, extension headers or tag
  LaneMask plain_v6 = 0;          // those of them that are IPv6
  LaneMask opening = 0;           // may open a connection, or says that its sender has forgotten an old one
  uint8_t* ip[kBurst];            // where the IP header begins, of either family
  uint16_t transport_at[kBurst];  // from there to what the IP headers carry
  uint16_t ip_length[kBurst];
  // Of kIcmpError: the reverse of the packet it is about, which had gone the other way.
  FlowTuple tuple[kBurst];
  FlowAddresses addresses[kBurst];  // of IPv6
  LaneMask guessed = 0;             // of plain: Parse has begun with `entry`
  // Lookup, Schedule
  uint64_t hash[kBurst];
  ConnectionEntry entry[kBurst];
  Connection* connection[kBurst];
  const ConnectionAddresses* connection_addresses[kBurst];  // of IPv6
  Direction direction[kBurst];
  uint8_t traits[kBurst];  // of the connection's destination
  uint8_t owner[kBurst];
  const Service* service[kBurst];  // of lanes without a connection
  Connection one_packet[kBurst];   // of lanes whose connection lives as long as the packet
  ConnectionAddresses one_packet_addresses[kBurst];
  LaneMask scheduled = 0;  // lanes that made their connection: it is in the state they lead to
  LaneMask forgotten = 0;  // lanes whose connection made room for another in this burst; they have a verdict
  // Any stage: lanes with verdict kAnswer
  LaneMask answers = 0;
  Reply answer[kBurst];
  IcmpError relayed[kBurst];
  uint16_t answer_mtu[kBurst];  // of kTooBig
  QuotedTunnel quoted[kBurst];  // of kTunnelError
  // Rewrite
  const NextHop* hop[kBurst];
  uint16_t mtu[kBurst];  // of lanes that are split

  Verdict verdict[kBurst];
  KernelClass kernel_class[kBurst];  // of kKernelInput

  Ipv4Header& v4(int lane) { return *reinterpret_cast<Ipv4Header*>(ip[lane]); }
  Ipv6Header& v6(int lane) { return *reinterpret_cast<Ipv6Header*>(ip[lane]); }
  uint8_t* transport(int lane) { return ip[lane] + transport_at[lane]; }

  IpAddress SourceOf(int lane) const {
    return tuple[lane].IsV6() ? IpAddress::FromV6(addresses[lane].source)
                              : IpAddress::FromV4(tuple[lane].source());
  }
  IpAddress DestinationOf(int lane) const {
    return tuple[lane].IsV6() ? IpAddress::FromV6(addresses[lane].destination)
                              : IpAddress::FromV4(tuple[lane].destination());
  }
  FlowKey KeyOf(int lane) const {
    return {SourceOf(lane), DestinationOf(lane), tuple[lane].source_port(), tuple[lane].destination_port(),
            tuple[lane].protocol()};
  }

  bool IsAboutFlow(int lane) const { return kind[lane] == PacketKind::kIcmpError; }
  bool IsAboutTunnel(int lane) const { return kind[lane] == PacketKind::kTunnelError; }
  bool IsFirstFragment(int lane) const { return first_fragments & LaneBit(lane); }
  bool IsLaterFragment(int lane) const { return kind[lane] == PacketKind::kLaterFragment; }

  bool Opens(int lane) const { return opening & LaneBit(lane); }

  LaneMask all() const { return FirstLanes(count); }
};

}  // namespace sluice
