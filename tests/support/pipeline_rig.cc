// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pipeline_rig.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "dataplane/net/check.h"
#include "dataplane/pipeline/frame.h"
#include "tests/support/eal.h"

namespace sluice {
namespace {

void Collect(PacketList& list, const std::string& where, std::map<rte_mbuf*, Outcome>& outcomes) {
  for (int i = 0; i < list.count; ++i) {
    rte_mbuf* packet = list.packets[i];
    Outcome outcome{.where = where};
    for (rte_mbuf* segment = packet; segment != nullptr; segment = segment->next) {
      const uint8_t* bytes = rte_pktmbuf_mtod(segment, uint8_t*);
      outcome.frame.insert(outcome.frame.end(), bytes, bytes + segment->data_len);
    }
    outcomes[packet] = outcome;
    rte_pktmbuf_free(packet);
  }
  list.count = 0;
}

// An Ethernet header takes the place of what tells the kernel where to.
void CollectForKernel(PacketList& list, std::map<rte_mbuf*, Outcome>& outcomes) {
  std::map<rte_mbuf*, Outcome> collected;
  Collect(list, "kernel output", collected);
  for (auto& [packet, outcome] : collected) {
    std::memcpy(&outcome.next_stop, outcome.frame.data(), sizeof outcome.next_stop);
    outcome.frame.erase(outcome.frame.begin(), outcome.frame.begin() + sizeof outcome.next_stop);
    const Be16 type = IsV6Header(outcome.frame.data()) ? kEtherTypeIpv6 : kEtherTypeIpv4;
    const EthernetHeader ethernet = {{}, {}, type};
    const auto* bytes = reinterpret_cast<const uint8_t*>(&ethernet);
    outcome.frame.insert(outcome.frame.begin(), bytes, bytes + sizeof ethernet);
    outcomes.insert({packet, outcome});
  }
}

}  // namespace

PipelineRig::PipelineRig(const Options& options)
    : snapshots(destinations, {Options::kSecret, static_cast<uint32_t>(options.workers)}) {
  StartEalForTest();
  const HashSecret secret = Options::kSecret;
  constexpr Jiffies kStart = 0xfffff000;  // wraps in sixteen seconds
  persistence = std::make_unique<PersistenceTable>(options.template_capacity, secret, kStart, destinations);
  worker = std::make_unique<Worker>(Worker::Setup{.index = options.index,
                                                  .workers = options.workers,
                                                  .connection_capacity = options.connection_capacity,
                                                  .secret = secret,
                                                  .now = kStart,
                                                  .destinations = &destinations,
                                                  .persistence = persistence.get(),
                                                  .port_macs = {kMacOfSluice, kMacOfSluice},
                                                  .port_numbers = {0, 1}});
  SetForwarding(DefaultForwarding());
}

ForwardingSpec PipelineRig::DefaultForwarding() {
  ForwardingSpec spec;
  spec.links[1] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 0};
  spec.links[2] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 1};
  const IpAddress gateway = *IpAddress::Parse("10.0.0.254");
  spec.routes.push_back({.prefix = *IpAddress::Parse("10.0.0.0"),
                         .prefix_length = 16,
                         .legs = {{.interface = 1, .gateway = gateway}}});
  spec.routes.push_back(
      {.prefix = *IpAddress::Parse("10.1.0.0"), .prefix_length = 16, .legs = {{.interface = 2}}});
  spec.neighbours[{1, gateway}] = kMacOfClient;
  for (int i = 1; i <= 9; ++i) {
    spec.neighbours[{2, *IpAddress::Parse("10.1.0." + std::to_string(i))}] =
        MacAddress{{0x02, 0, 0, 0, 0x51, static_cast<uint8_t>(i)}};
  }
  const IpAddress gateway_v6 = *IpAddress::Parse("fd00:a::fe");
  spec.routes.push_back({.prefix = *IpAddress::Parse("fd00:a::"),
                         .prefix_length = 32,
                         .legs = {{.interface = 1, .gateway = gateway_v6}}});
  spec.routes.push_back(
      {.prefix = *IpAddress::Parse("fd00:b::"), .prefix_length = 64, .legs = {{.interface = 2}}});
  spec.neighbours[{1, gateway_v6}] = kMacOfClient;
  for (int i = 1; i <= 9; ++i) {
    spec.neighbours[{2, *IpAddress::Parse("fd00:b::" + std::to_string(i))}] =
        MacAddress{{0x02, 0, 0, 0, 0x56, static_cast<uint8_t>(i)}};
  }
  return spec;
}

DestinationSpec PipelineRig::Server(const std::string& address, uint16_t port, int weight) {
  return {.address = IpAddress::Parse(address).value(), .port = Be16::FromHost(port), .weight = weight};
}

void PipelineRig::AddService(const std::string& address, uint16_t port, Protocol protocol,
                             const std::string& scheduler, const std::vector<DestinationSpec>& servers) {
  AddService({.key = {IpAddress::Parse(address).value(), Be16::FromHost(port), protocol},
              .scheduler = scheduler,
              .destinations = servers});
}

void PipelineRig::AddService(const ServiceSpec& spec) {
  snapshots.Put(spec);
  Publish();
}

void PipelineRig::DeleteService(const std::string& address, uint16_t port, Protocol protocol) {
  snapshots.Delete({IpAddress::Parse(address).value(), Be16::FromHost(port), protocol});
  Publish();
}

void PipelineRig::SetGlobal(const GlobalSpec& global) {
  snapshots.SetGlobal(global);
  Publish();
}

void PipelineRig::SetForwarding(const ForwardingSpec& spec) {
  const auto previous = forwarding;
  forwarding = forwardings.Build(spec);
  Publish();
}

void PipelineRig::Publish() {
  const auto previous = snapshot;
  snapshot = snapshots.Build();
  worker->Use(*snapshot, *forwarding);
  snapshots.Published();
}

std::vector<Outcome> PipelineRig::Send(const std::vector<FrameBytes>& frames, uint16_t port) {
  SLUICE_CHECK(frames.size() <= kBurst);
  Batch batch;
  batch.count = static_cast<int>(frames.size());
  for (size_t i = 0; i < frames.size(); ++i) {
    rte_mbuf* packet = rte_pktmbuf_alloc(PacketPoolForTest());
    SLUICE_CHECK(packet != nullptr);
    packet->port = port;
    packet->ol_flags = device_says;
    char* room = rte_pktmbuf_append(packet, static_cast<uint16_t>(frames[i].size()));
    SLUICE_CHECK(room != nullptr);
    if (!frames[i].empty()) std::memcpy(room, frames[i].data(), frames[i].size());
    batch.packet[i] = packet;
  }
  const std::vector<rte_mbuf*> sent(batch.packet, batch.packet + batch.count);
  std::map<rte_mbuf*, Outcome> outcomes;
  pieces_.clear();
  released_.clear();
  // Fragments that had waited come in bursts of their own; some of them were sent just now.
  bool is_first = true;
  do {
    ProcessBurst(*worker, batch);
    std::map<rte_mbuf*, Outcome> collected = TakeOutput();
    for (const auto& [packet, outcome] : collected) {
      const bool is_of_now = std::find(sent.begin(), sent.end(), packet) != sent.end();
      if (is_first || is_of_now) {
        outcomes[packet] = outcome;
      } else {
        released_.push_back(outcome);
      }
    }
    is_first = false;
  } while (TakeReleased(*worker, batch));
  std::vector<Outcome> result;
  for (size_t i = 0; i < frames.size(); ++i) {
    const auto found = outcomes.find(sent[i]);
    result.push_back(found == outcomes.end() ? Outcome{.where = "dropped"} : found->second);
  }
  return result;
}

std::map<rte_mbuf*, Outcome> PipelineRig::TakeOutput() {
  std::map<rte_mbuf*, Outcome> outcomes;
  Output& output = worker->output;
  for (size_t i = 0; i < output.wire.size(); ++i)
    Collect(output.wire[i], "wire " + std::to_string(i), outcomes);
  for (int i = 0; i < kKernelClasses; ++i) {
    std::map<rte_mbuf*, Outcome> given;
    Collect(output.kernel_input[static_cast<size_t>(i)], "kernel input", given);
    for (auto& [packet, outcome] : given) {
      outcome.kernel_class = static_cast<KernelClass>(i);
      outcomes[packet] = outcome;
    }
  }
  CollectForKernel(output.kernel_output, outcomes);
  for (size_t i = 0; i < output.peers.size(); ++i) {
    Collect(output.peers[i], "peer " + std::to_string(i), outcomes);
    Collect(output.peer_openings[i], "peer " + std::to_string(i), outcomes);
  }
  for (int i = 0; i < output.piece_count; ++i) {
    PacketList one;
    one.Add(output.pieces[i]);
    std::map<rte_mbuf*, Outcome> collected;
    Collect(one, "wire " + std::to_string(output.piece_ports[i]), collected);
    pieces_.push_back(collected.begin()->second);
  }
  output.piece_count = 0;
  return outcomes;
}

void PipelineRig::Advance(double seconds) {
  const Jiffies end = worker->now + static_cast<Jiffies>(seconds * kJiffiesPerSecond);
  while (worker->now != end) {
    worker->now += std::min<Jiffies>(end - worker->now, 25);
    while (KeepHouse(*worker) > 0) {
    }
  }
}

}  // namespace sluice
