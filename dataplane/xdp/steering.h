// Keeps the XDP programs of all interfaces and the maps they share: which endpoints are Sluice's, when each
// worker was last alive, what becomes of packets when it is not. Without a socket a program passes every
// packet to the kernel; so it does after this process died, because program and maps stay attached. Threads:
// endpoints, the thread that publishes; host addresses and VLANs, the one that follows the host; interfaces
// come and go on one thread at a time; heartbeats are written by their workers; counts, any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/net/ip_address.h"
#include "dataplane/net/mac_address.h"

struct sluice_heartbeat;

namespace sluice {

struct SteeringOptions {
  int workers = 1;
  uint32_t heartbeat_limit_ms = 100;
};

struct SteeringCounts {
  uint64_t steered = 0;
  uint64_t stale = 0;
  uint64_t stale_dropped = 0;
  uint64_t openings_dropped = 0;
  uint64_t released = 0;
  uint64_t no_socket = 0;
};

class Steering {
 public:
  // Creates the maps that all interfaces share.
  static absl::StatusOr<std::unique_ptr<Steering>> Create(const SteeringOptions& options);
  ~Steering();  // detaches from every interface

  // A program object that passes everything, as a path for the AF_XDP driver's xdp_prog argument; valid
  // while this object lives.
  std::string StubProgramPath() const;

  // Loads a program for the interface with this MAC address and attaches it; queue q is served by worker
  // q % workers over AF_XDP socket `sockets[q]`. Returns "native" or "generic".
  absl::StatusOr<std::string> Attach(int interface_index, const MacAddress& mac,
                                     std::span<const int> sockets);
  // Attaches the loaded program again, after somebody has detached it.
  absl::StatusOr<std::string> Reattach(int interface_index);
  void Detach(int interface_index);
  // Id of the program that was loaded for this interface, attached or not; 0: there is none.
  uint32_t ProgramId(int interface_index) const;
  void SetMac(int interface_index, const MacAddress& mac);
  // Frames of other VLANs are the kernel's.
  void SetVlans(int interface_index, std::span<const uint16_t> vlans);

  // Applies changes in order. An error names the endpoint or prefix for which there was no room.
  absl::Status Apply(std::span<const EndpointChange> endpoints, std::span<const PrefixChange> prefixes = {});
  // Packets from real servers to these addresses are the kernel's (health checks, ssh).
  absl::Status SetHostAddresses(std::span<const IpAddress> addresses);

  // Where worker `worker` writes that it lives: stores, no system call.
  sluice_heartbeat* heartbeat(int worker);
  uint64_t HeartbeatLimitNs(int worker) const;  // now
  // Packets for a worker that was silent for too long are passed to the kernel, or dropped.
  void SetPassesStalled(bool passes);
  bool passes_stalled() const;

  SteeringCounts Counts() const;

 private:
  void NoteRole(const EndpointChange& change, uint32_t& roles);
  absl::Status ApplyPrefix(const PrefixChange& change);
  void WriteHint(uint32_t slot);
  void LookFor();

  struct State;
  Steering();
  std::unique_ptr<State> state_;
};

}  // namespace sluice
