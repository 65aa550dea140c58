// Up to 32 packets on their way through the pipeline, and what the stages have learnt about them, in
// parallel arrays: between Parse and Rewrite nobody touches packet memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/conn/connection_table.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/headers.h"
#include "dataplane/pipeline/lanes.h"

namespace sluice {

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
  kReset,
  kPortUnreachable,
  kTimeExceeded,
  kFragmentationNeeded,
};

// What Parse found a sound packet to be.
enum class PacketKind : uint8_t {
  kFlow,           // TCP, UDP or SCTP over IPv4, not fragmented
  kLaterFragment,  // of such a datagram, but not the first: its ports were learnt from that
  kIcmpError,      // about a TCP, UDP or SCTP packet over IPv4
  kIcmp,
  kFragment,
  kOtherProtocol,
  kArp,
  kIpv6,
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
  uint16_t ip_length[kBurst];
  Ipv4Header* ip[kBurst];
  Ipv4Tuple
      tuple[kBurst];  // of kIcmpError: the reverse of the packet it is about, which had gone the other way
  // Lookup, Schedule
  uint64_t hash[kBurst];
  ConnectionEntry entry[kBurst];
  Connection* connection[kBurst];
  Direction direction[kBurst];
  uint8_t traits[kBurst];  // of the connection's destination
  uint8_t owner[kBurst];
  Connection one_packet[kBurst];  // of lanes whose connection lives as long as the packet
  LaneMask scheduled = 0;         // lanes that made their connection: it is in the state they lead to
  // Any stage: lanes with verdict kAnswer
  LaneMask answers = 0;
  Reply answer[kBurst];
  uint16_t answer_mtu[kBurst];  // of kFragmentationNeeded
  // Rewrite
  const NextHop* hop[kBurst];

  Verdict verdict[kBurst];

  bool IsAboutFlow(int lane) const { return kind[lane] == PacketKind::kIcmpError; }
  bool IsLaterFragment(int lane) const { return kind[lane] == PacketKind::kLaterFragment; }

  // Whether it may open a connection, or says that its sender has forgotten an old one.
  bool Opens(int lane) const {
    const Protocol protocol = tuple[lane].protocol();
    if (protocol == Protocol::kTcp) return signal[lane] & kTcpSyn;
    return protocol == Protocol::kSctp && signal[lane] == kSctpEventInit;
  }

  LaneMask all() const { return FirstLanes(count); }
};

}  // namespace sluice
