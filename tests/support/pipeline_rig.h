// One worker with a configuration and routes, and no NIC: packets go in as bytes and come out as bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/forwarding_builder.h"
#include "dataplane/config/snapshot_builder.h"
#include "dataplane/pipeline/pipeline.h"
#include "dataplane/pipeline/worker.h"
#include "tests/support/packet_builder.h"

namespace sluice {

struct Outcome {
  std::string where;         // "wire 0", "kernel input", "kernel output", "peer 1", "dropped"
  FrameBytes frame;          // empty if dropped
  IpAddress next_stop = {};  // of "kernel output"
  KernelClass kernel_class = KernelClass::kStray;  // of "kernel input"
};

class PipelineRig {
 public:
  struct Options {
    uint32_t connection_capacity = 1024;
    uint32_t template_capacity = 1024;
    int index = 0;
    int workers = 1;
    static constexpr HashSecret kSecret{
        {0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89}};
  };
  PipelineRig() : PipelineRig(Options{}) {}
  explicit PipelineRig(const Options& options);

  // Port 0 leads to clients (10.0.0.0/16 and fd00:a::/32, over gateways), port 1 to servers (10.1.0.0/16 and
  // fd00:b::/64, on link; those that end in 1..9 are known).
  void AddService(const std::string& address, uint16_t port, Protocol protocol, const std::string& scheduler,
                  const std::vector<DestinationSpec>& destinations);
  void AddService(const ServiceSpec& spec);
  void DeleteService(const std::string& address, uint16_t port, Protocol protocol);
  void SetGlobal(const GlobalSpec& global);
  void SetTimeouts(const TimeoutSpec& timeouts) { SetGlobal({.timeouts = timeouts}); }
  void SetForwarding(const ForwardingSpec& spec);
  static ForwardingSpec DefaultForwarding();
  static DestinationSpec Server(const std::string& address, uint16_t port, int weight = 1);

  // One burst, all of it received on `port`; outcomes in the order of the packets.
  std::vector<Outcome> Send(const std::vector<FrameBytes>& frames, uint16_t port = 0);
  Outcome Send(const Packet& packet, uint16_t port = 0) { return Send({packet.Bytes()}, port).front(); }

  // The fragments in which too large packets of the last Send went out.
  const std::vector<Outcome>& pieces() const { return pieces_; }
  // What came out during the last Send although it went in before: fragments that had waited.
  const std::vector<Outcome>& released() const { return released_; }

  void Advance(double seconds);  // and keep house
  uint64_t Count(Counter counter) const { return worker->counters.Get(counter); }

  uint64_t device_says = 0;  // flags that packets come with

  DestinationTable destinations;
  SnapshotBuilder snapshots;
  ForwardingBuilder forwardings;
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const Forwarding> forwarding;
  std::unique_ptr<PersistenceTable> persistence;
  std::unique_ptr<Worker> worker;

 private:
  void Publish();
  std::map<rte_mbuf*, Outcome> TakeOutput();  // but for pieces, which go to pieces_

  std::vector<Outcome> released_;
  std::vector<Outcome> pieces_;
};

}  // namespace sluice
