// Rewrite: the checks every forwarded packet must pass, the forwarding method's own rewriting, and the
// Ethernet header of the next hop.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/reset.h"
#include "dataplane/pipeline/rewrite_nat.h"
#include "dataplane/pipeline/stages.h"

namespace sluice {
namespace {

void ResolveHops(const Worker& worker, Connection& connection, uint64_t flow_hash) {
  const Forwarding& forwarding = *worker.forwarding;
  connection.hops[static_cast<int>(Direction::kIn)] =
      forwarding.Resolve(IpAddress::FromV4(connection.destination), flow_hash);
  connection.hops[static_cast<int>(Direction::kOut)] =
      forwarding.Resolve(IpAddress::FromV4(connection.client), flow_hash);
  connection.forwarding_generation = forwarding.generation();
}

// The checksum of an IPv4 header whose time to live is one less: RFC 1141, with the carry added back.
void DecrementTimeToLive(Ipv4Header& ip) {
  --ip.time_to_live;
  const uint32_t sum = uint32_t{ip.checksum} + Be16::FromHost(0x0100).raw;
  ip.checksum = static_cast<uint16_t>(sum + (sum >> 16));
}

}  // namespace

void Rewrite(Worker& worker, Batch& batch, LaneMask lanes) {
  for (int lane : Lanes(lanes)) {
    Connection& connection = *batch.connection[lane];
    if (connection.forwarding_generation != worker.forwarding->generation())
      ResolveHops(worker, connection, batch.hash[lane]);
    const bool turns_back = batch.resets & LaneBit(lane);
    const Direction direction = batch.direction[lane];
    const int way = static_cast<int>(direction) ^ static_cast<int>(turns_back);
    const NextHop& hop = worker.forwarding->hop(connection.hops[way]);
    Ipv4Header& ip = *batch.ip[lane];
    if (hop.kind == NextHopKind::kNoRoute) {
      Drop(worker, batch, lane, Counter::kDropNoRoute);
      continue;
    }
    if (turns_back) {
      TurnIntoReset(*batch.packet[lane], ip);
      worker.counters.Add(Counter::kSentReset);
    } else if (ip.time_to_live <= 1) {
      Drop(worker, batch, lane, Counter::kDropTtlExpired);
      continue;
    } else if (hop.kind == NextHopKind::kWire && batch.ip_length[lane] > hop.mtu) {
      Drop(worker, batch, lane, Counter::kDropExceedsMtu);
      continue;
    } else {
      DecrementTimeToLive(ip);
      RewriteNat(connection, direction, ip, *batch.packet[lane]);
    }
    if (hop.kind == NextHopKind::kKernel) {
      worker.counters.Add(Counter::kKernelForwards);
      batch.verdict[lane] = Verdict::kKernelOutput;
      continue;
    }
    auto& ethernet = *rte_pktmbuf_mtod(batch.packet[lane], EthernetHeader*);
    ethernet.destination = hop.destination;
    ethernet.source = hop.source;
    batch.hop[lane] = &hop;
    batch.verdict[lane] = Verdict::kWire;
  }
}

}  // namespace sluice
