// The whole data path behind one door, free of DPDK: ports, workers, publication, questions.
// Threads: one control thread at a time, except where a comment says otherwise.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/config/destination_table.h"
#include "dataplane/config/forwarding.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/conn/persistence.h"
#include "dataplane/conn/sync_listener.h"
#include "dataplane/net/endpoint.h"
#include "dataplane/net/mac_address.h"

namespace sluice {

struct DataplaneOptions {
  std::vector<std::string> interfaces;  // served over AF_XDP, shared with the kernel
  // Dedicated ports with a kernel twin: PCI addresses, or DPDK's vdev strings.
  std::vector<std::string> devices;
  int device_mtu = 1500;  // of `devices`
  std::vector<std::string> eal_arguments;
  int workers = 1;
  std::vector<int> cpus;      // of the workers; empty: chosen among those allowed
  bool poll_always = false;   // never sleep
  bool use_hugepages = true;  // if the system has any
  uint32_t connections_per_worker = 1 << 20;
  uint32_t templates = 1 << 18;  // of persistence, for all workers
  uint32_t heartbeat_limit_ms = 100;
};

struct PortStatus {
  std::string name;  // "eth0", as it is called now, or the DPDK name of a dedicated port
  std::string driver;
  std::string kernel_interface;    // whose addresses, routes and neighbours the port has
  int kernel_interface_index = 0;  // 0: it is away
  MacAddress mac;
  int queues = 0;
  bool link_up = false;
  bool is_gone = false;      // the interface
  bool is_attached = false;  // packets come here: our XDP program is on the interface, or the device is ours
  // Why they do not, what to do, and for how long it has been so; empty: they do.
  std::string trouble;
  double trouble_seconds = 0;
  uint32_t other_program = 0;  // of somebody else that was met there, and what it is called
  std::string other_program_name;
  // How packets come to the queues, and to the worker that owns their flow; in words.
  std::string spreading;
  std::string xdp_mode;  // "native", "generic", or empty
};

struct DestinationStatistics {
  uint64_t connections = 0;
  uint64_t in_packets = 0;
  uint64_t out_packets = 0;
  uint64_t in_bytes = 0;
  uint64_t out_bytes = 0;

  DestinationStatistics& operator+=(const DestinationStatistics& other) {
    connections += other.connections;
    in_packets += other.in_packets;
    out_packets += other.out_packets;
    in_bytes += other.in_bytes;
    out_bytes += other.out_bytes;
    return *this;
  }
  DestinationStatistics& operator-=(const DestinationStatistics& other) {
    connections -= other.connections;
    in_packets -= other.in_packets;
    out_packets -= other.out_packets;
    in_bytes -= other.in_bytes;
    out_bytes -= other.out_bytes;
    return *this;
  }
};

struct CounterStatus {
  std::string_view name;
  std::string_view meaning;
  uint64_t value = 0;
};

struct ConnectionStatus {
  Endpoint client;
  Endpoint virtual_endpoint;
  Endpoint destination;
  Endpoint local;  // as the real server sees the client: with full NAT another
  std::string_view state;
  uint8_t state_number = 0;
  uint32_t expires_seconds = 0;
  bool active = false;
  int worker = 0;
  uint32_t flags = 0;  // IPVS's
  DestinationId destination_id = kNoDestination;
  bool is_template = false;  // of persistence
};

// A connection that another balancer has had until now.
struct AdoptedConnection {
  FlowKey flow;  // of the client's packets
  Endpoint server;
  IpAddress local_address;  // with full NAT
  Be16 local_port;          // 0: without
  DestinationId destination_id = kNoDestination;
  uint8_t state = 0;
  uint32_t expires_seconds = 0;
};

// A template of persistence that another balancer has had until now.
struct AdoptedTemplate {
  TemplateKey key;
  IpAddress destination;
  Be16 destination_port;
  DestinationId destination_id = kNoDestination;
  uint32_t timeout_seconds = 0;  // its service's
  uint32_t expires_seconds = 0;
  bool assured = false;
};

// How packets leave towards an address.
struct Way {
  std::string port;  // its name; empty: none of the data path's
  NextHop hop;
};

// Since the start, but for what is as of now.
struct WorkerStatus {
  uint64_t rounds = 0;
  uint64_t bursts = 0;
  uint64_t packets = 0;
  uint64_t busy_nanoseconds = 0;
  uint64_t silent_nanoseconds = 0;  // since it began its last round
  uint64_t connections = 0;         // now
  uint32_t timer_lag_ms = 0;        // now
  uint64_t heartbeat_limit_ns = 0;  // now; 0: no shared interface
};

struct QueueCounts {
  uint64_t received_packets = 0;
  uint64_t received_bytes = 0;
  uint64_t sent_packets = 0;
  uint64_t sent_bytes = 0;
};

class Question;

class Dataplane {
 public:
  // Everything that can go wrong with ports, memory or permissions goes wrong here. On error nothing
  // stays behind.
  static absl::StatusOr<std::unique_ptr<Dataplane>> Start(const DataplaneOptions& options);
  ~Dataplane();  // detaches from the interfaces and stops the workers

  // The workers use the value when this returns, and the previous one no longer. Steering follows.
  absl::Status Publish(std::shared_ptr<const Snapshot> snapshot);
  // Any one thread; it may differ from the one that publishes snapshots.
  absl::Status Publish(std::shared_ptr<const Forwarding> forwarding);

  DestinationTable& destinations();
  const DestinationTable& destinations() const;

  // The rest may be called by any thread.
  std::vector<PortStatus> ports() const;  // as they are now: measured, so some microseconds for each
  // Called from now on, on a thread of the data path's, when a port stands on another interface, or on none;
  // nullptr: nobody is, and no call is under way.
  void OnPortsMoved(std::function<void()> listener);
  int workers() const;
  FlowOwners owners() const;  // which of them has a flow
  // Counted since the start; an id goes from one destination to another.
  DestinationStatistics Statistics(DestinationId id) const;
  DestinationStatistics TotalStatistics() const;
  std::vector<CounterStatus> Counters() const;
  std::vector<WorkerStatus> WorkerStatuses() const;
  uint64_t ConnectionCount() const;
  uint64_t ConnectionCapacity() const;
  // Calls `receive` with chunks of connections; a chunk costs its worker a few microseconds. Stops when
  // `receive` returns false.
  void ListConnections(const std::function<bool(const std::vector<ConnectionStatus>&)>& receive);
  // The connection of a packet with these addresses, whichever side it comes from.
  struct FoundFlow {
    int worker = 0;  // that has it, or would have it if a client sends it
    std::optional<ConnectionStatus> connection;
    bool is_reply = false;
  };
  FoundFlow FindFlow(const FlowKey& flow);
  // The template that decides about a new connection of a persistent service.
  std::optional<ConnectionStatus> FindTemplate(const ServiceSpec& service, const FlowKey& flow,
                                               bool expire_quiescent);
  Way WayTowards(const IpAddress& address);
  // Forgets the connections and templates of some destinations, by id.
  struct Forgotten {
    uint64_t connections = 0;
    uint64_t templates = 0;
  };
  Forgotten ForgetConnections(const std::vector<bool>& destinations);
  // Connections that another balancer was told of are lent to it; those that are adopted again are ours.
  // Those that are not have ended there, and their addresses may be others' by now.
  void LendConnections();
  uint64_t ForgetLentConnections();
  // Which connections are told of to another balancer, from now on.
  void SetSyncPolicy(const SyncPolicy& policy);
  // Who is told at once of connections that are being opened; nullptr: nobody, and no worker is at it any
  // more.
  void SetSyncListener(SyncListener* listener);
  // Takes up to `most` updates that workers have left there; one thread. And how many made room for others.
  size_t TakeUpdates(size_t most, std::vector<SyncUpdate>& updates);
  uint64_t LostUpdates() const;
  // Calls `receive` with updates of all connections that are open, or of those that are being opened, some at
  // a time; stops when it returns false.
  void ListUpdates(bool half_open, const std::function<bool(std::span<const SyncUpdate>)>& receive);
  // The same of persistence templates, with a number that is another whenever a template has changed.
  void ListTemplateUpdates(const std::function<void(const SyncUpdate&, uint64_t)>& receive);
  // Connections of others become ours; those that are ours already get their state. An error of none.
  struct AdoptedCounts {
    uint64_t made = 0;
    uint64_t present = 0;
  };
  AdoptedCounts Adopt(const std::vector<AdoptedConnection>& connections);
  AdoptedCounts Adopt(const std::vector<AdoptedTemplate>& templates);
  // Whether packets on shared interfaces come here; they do at first. Otherwise they are the kernel's, as if
  // no worker lived. When this returns it is so.
  void SetSteering(bool on);
  bool steering() const;
  // Packets for a worker that was silent for too long are passed to the kernel, or dropped.
  void SetPassesStalled(bool passes);
  bool passes_stalled() const;
  // What the device has counted, by queue.
  std::vector<QueueCounts> Queues(size_t port) const;

 private:
  class Runtime;
  explicit Dataplane(std::unique_ptr<Runtime> runtime);
  absl::Status SteerBy(const Snapshot& snapshot);
  absl::Status SteerHostAddresses();
  void Ask(size_t worker, Question& question);
  template <class See>
  void ForEachTemplate(See see);
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace sluice
