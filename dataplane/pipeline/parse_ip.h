// The parts of Parse: either family's headers, and what they carry. Each fills its part of the lane; false:
// the packet has a verdict.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "dataplane/net/address_fault.h"
#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {

// A packet from its IP header on. Headers must be in the first segment; what follows may be elsewhere.
struct IpBytes {
  uint8_t* start;
  uint32_t contiguous;
  uint32_t total;
};

// Almost every packet, in few steps: TCP or UDP, whole, without IP options, extension headers or tag, for us.
// REQUIRES: kind and verdict are zero. False: look thoroughly, which may find the same, or what is wrong.
bool ParsePlain(const Worker& worker, Batch& batch, int lane);
bool ParseThoroughly(Worker& worker, Batch& batch, int lane);

bool ParseIpv4(Worker& worker, Batch& batch, int lane, const IpBytes& bytes);

// The device may have looked already.
inline bool IsHeaderSound(const rte_mbuf& packet, const Ipv4Header& ip) {
  if ((packet.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD) return true;
  const size_t header = ip.header_length();
  return FoldSum(header == sizeof ip ? SumOfPlainHeader(ip) : SumBytes(&ip, header)) == 0xffff;
}
bool ParseIpv6(Worker& worker, Batch& batch, int lane, const IpBytes& bytes);

// The tuple and the addresses of an IPv6 flow.
void SetIpv6Tuple(const Worker& worker, Batch& batch, int lane, const FlowAddresses& addresses,
                  const FragmentTable::Ports& ports, Protocol protocol);

// False: an address of the packet has a fault, and it was dropped under that name.
template <class Address>
bool HasSoundAddresses(Worker& worker, Batch& batch, int lane, const Address& source,
                       const Address& destination) {
  const AddressFault of_source = FaultOf(source);
  const AddressFault fault = of_source != AddressFault::kNone ? of_source : FaultOf(destination);
  switch (fault) {
    case AddressFault::kNone: return true;
    case AddressFault::kUnspecified: Drop(worker, batch, lane, Counter::kDropIpUnspecified); break;
    case AddressFault::kLoopback: Drop(worker, batch, lane, Counter::kDropIpLoopback); break;
    case AddressFault::kMulticast: Drop(worker, batch, lane, Counter::kDropIpMulticast); break;
    case AddressFault::kIpv4Notation: Drop(worker, batch, lane, Counter::kDropIpv4Notation); break;
  }
  return false;
}

constexpr bool IsBalanced(Protocol protocol) {
  return protocol == Protocol::kTcp || protocol == Protocol::kUdp || protocol == Protocol::kSctp;
}

// The transport headers of a balanced protocol, whose ports are where UDP has them; fills `signal`.
struct TransportBytes {
  const uint8_t* start;
  uint32_t contiguous;
  uint32_t total;    // as the IP header says
  bool is_fragment;  // the first of several
};
bool ParseSctp(Worker& worker, Batch& batch, int lane, const TransportBytes& bytes);

inline void SetTcpSignal(Batch& batch, int lane, const TcpHeader& tcp) {
  batch.signal[lane] = tcp.flags;
  if (tcp.flags & kTcpSyn) batch.opening |= LaneBit(lane);
}

inline bool ParseTcp(Worker& worker, Batch& batch, int lane, const TransportBytes& bytes) {
  if (bytes.contiguous < sizeof(TcpHeader)) {
    Drop(worker, batch, lane, Counter::kDropTcpTruncated);
    return false;
  }
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(bytes.start);
  const uint32_t header = (tcp.data_offset >> 4) * 4u;
  if (header < sizeof(TcpHeader) || header > bytes.contiguous) {
    Drop(worker, batch, lane, Counter::kDropTcpHeader);
    return false;
  }
  SetTcpSignal(batch, lane, tcp);
  return true;
}

inline bool ParseUdp(Worker& worker, Batch& batch, int lane, const TransportBytes& bytes) {
  if (bytes.contiguous < sizeof(UdpHeader)) {
    Drop(worker, batch, lane, Counter::kDropUdpTruncated);
    return false;
  }
  const uint16_t claimed = reinterpret_cast<const UdpHeader*>(bytes.start)->length.ToHost();
  if (claimed < sizeof(UdpHeader) || (claimed > bytes.total && !bytes.is_fragment)) {
    Drop(worker, batch, lane, Counter::kDropUdpLength);
    return false;
  }
  batch.signal[lane] = 0;
  return true;
}

inline bool ParseTransport(Worker& worker, Batch& batch, int lane, Protocol protocol,
                           const TransportBytes& bytes) {
  if (protocol == Protocol::kTcp) return ParseTcp(worker, batch, lane, bytes);
  if (protocol == Protocol::kUdp) return ParseUdp(worker, batch, lane, bytes);
  return ParseSctp(worker, batch, lane, bytes);
}

// The ports of a fragment that is not the first: those of the first, for which it waits if need be. From
// another worker they come along. Nothing: it has a verdict.
std::optional<FragmentTable::Ports> PortsOfLaterFragment(Worker& worker, Batch& batch, int lane,
                                                         const FragmentTable::Key& key);

}  // namespace sluice
