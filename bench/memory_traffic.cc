// SPDX-License-Identifier: Apache-2.0
#include "bench/memory_traffic.h"

#include "dataplane/net/check.h"
#include "tests/support/packet_builder.h"

namespace sluice {

MemoryTraffic::MemoryTraffic(rte_mempool* pool, const Options& options)
    : pool_(pool),
      mask_(options.flows - 1),
      services_(options.services),
      is_tcp_(options.protocol == Protocol::kTcp) {
  SLUICE_CHECK((options.flows & mask_) == 0);
  Packet packet;
  packet.From("0.0.0.0", 0).To("0.0.0.0", kServicePort.ToHost());
  if (is_tcp_) {
    packet.Tcp(kTcpAck).Payload(std::string(6, 'x'));
  } else {
    packet.Udp().Payload(std::string(18, 'x'));
  }
  const FrameBytes bytes = packet.Bytes();
  SLUICE_CHECK(bytes.size() == 60);
  std::memcpy(template_, bytes.data(), bytes.size());
  const auto& ip = *reinterpret_cast<const Ipv4Header*>(template_ + sizeof(EthernetHeader));
  template_sum_ = FoldSum(SumBytes(&ip, sizeof ip)) + static_cast<uint16_t>(~ip.checksum);
}

int MemoryTraffic::Sink(Output& output) {
  int sent = 0;
  for (PacketList& list : output.wire) {
    if (list.count == 0) continue;
    sent += list.count;
    rte_pktmbuf_free_bulk(list.packets, list.count);
    list.count = 0;
  }
  for (PacketList* list : {&output.kernel_input, &output.kernel_output}) {
    if (list->count > 0) rte_pktmbuf_free_bulk(list->packets, list->count);
    list->count = 0;
  }
  return sent;
}

}  // namespace sluice
