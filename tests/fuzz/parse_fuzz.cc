// Any bytes at all as a frame, through Parse and Classify and on: in one segment, and cut in two where the
// first byte says. Nothing crashes, and the packet is counted once.
#include <cstdint>
#include <cstring>

#include "dataplane/net/check.h"
#include "tests/support/eal.h"
#include "tests/support/pipeline_rig.h"

namespace {

using namespace sluice;

PipelineRig& Rig() {
  static PipelineRig& rig = *[] {
    auto* made = new PipelineRig();
    made->AddService("10.99.0.1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("10.1.0.1", 8080)});
    made->AddService("10.99.0.1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("10.1.0.1", 5353)});
    made->AddService("10.99.0.1", 90, Protocol::kSctp, "rr", {PipelineRig::Server("10.1.0.1", 91)});
    made->AddService("10.99.0.2", 80, Protocol::kTcp, "rr", {});
    for (const ForwardingMethod method : {ForwardingMethod::kDirect, ForwardingMethod::kTunnel}) {
      DestinationSpec server = PipelineRig::Server("10.1.0.2", 80);
      server.method = method;
      server.tunnel = {.type = TunnelType::kGre, .checksum = true};
      const char end = method == ForwardingMethod::kDirect ? '3' : '4';
      made->AddService(std::string("10.99.0.") + end, 80, Protocol::kTcp, "rr", {server});
      server.address = *IpAddress::Parse("fd00:b::2");
      made->AddService(std::string("fd00:99::") + end, 80, Protocol::kTcp, "rr", {server});
    }
    made->AddService("fd00:99::1", 80, Protocol::kTcp, "rr", {PipelineRig::Server("fd00:b::1", 8080)});
    made->AddService("fd00:99::1", 53, Protocol::kUdp, "rr", {PipelineRig::Server("fd00:b::1", 5353)});
    made->AddService("fd00:99::1", 90, Protocol::kSctp, "rr", {PipelineRig::Server("fd00:b::1", 91)});
    made->AddService("fd00:99::2", 80, Protocol::kTcp, "rr", {});
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    spec.links[3] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 0, .vlan = 7};
    for (RouteSpec& route : spec.routes)
      route.source = *IpAddress::Parse(route.prefix.IsV4() ? "10.1.0.254" : "fd00:b::fe");
    made->SetForwarding(spec);
    return made;
  }();
  return rig;
}

uint64_t Named(const PipelineRig& rig) {
  uint64_t sum = 0;
  for (int i = static_cast<int>(Counter::kKernelArp); i < kCounterCount; ++i)
    sum += rig.Count(static_cast<Counter>(i));
  return sum;
}

rte_mbuf* Segment(const uint8_t* bytes, size_t size) {
  rte_mbuf* packet = rte_pktmbuf_alloc(PacketPoolForTest());
  SLUICE_CHECK(packet != nullptr);
  std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(size)), bytes, size);
  return packet;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0 || size > 2000) return 0;
  PipelineRig& rig = Rig();
  const size_t cut = bytes[0];
  const uint8_t* frame = bytes + 1;
  const size_t length = size - 1;
  Batch batch;
  batch.count = 1;
  batch.packet[0] = Segment(frame, std::min(cut, length));
  if (length > cut && rte_pktmbuf_chain(batch.packet[0], Segment(frame + cut, length - cut)) != 0)
    SLUICE_CHECK(false);
  batch.packet[0]->port = 0;
  const uint64_t before = Named(rig);
  const uint64_t answered_before = rig.Count(Counter::kSentReset) + rig.Count(Counter::kSentIcmp);
  ProcessBurst(*rig.worker, batch);
  Output& output = rig.worker->output;
  int forwarded = 0;
  for (PacketList& list : output.wire) {
    forwarded += list.count;
    if (list.count > 0) rte_pktmbuf_free_bulk(list.packets, static_cast<unsigned>(list.count));
    list.count = 0;
  }
  const auto free_all = [](PacketList& list) {
    if (list.count > 0) rte_pktmbuf_free_bulk(list.packets, static_cast<unsigned>(list.count));
    list.count = 0;
  };
  for (PacketList& list : output.kernel_input) free_all(list);
  free_all(output.kernel_output);
  if (output.piece_count > 0) {
    rte_pktmbuf_free_bulk(output.pieces, static_cast<unsigned>(output.piece_count));
    output.piece_count = 0;
    ++forwarded;
  }
  // An answer leaves in place of the packet.
  const uint64_t answered = rig.Count(Counter::kSentReset) + rig.Count(Counter::kSentIcmp) - answered_before;
  const auto held = static_cast<uint64_t>(rig.worker->fragments.waiting());  // until the clock goes on
  SLUICE_CHECK(Named(rig) - before + static_cast<uint64_t>(forwarded) + held - answered == 1);
  rig.Advance(5);
  return 0;
}
