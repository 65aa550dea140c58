// Loads the XDP program and keeps its maps: which endpoints are Sluice's, which worker serves a queue, when
// each worker was last alive. Without a live worker and a socket, the program passes every packet to the
// kernel; so it does after this process died, because program and maps stay attached.
// Threads: the control thread; heartbeat words are written by their workers.
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

namespace sluice {

struct SteeringOptions {
  int workers = 1;
  uint32_t heartbeat_limit_ms = 100;
};

struct SteeringCounts {
  uint64_t steered = 0;
  uint64_t stale = 0;
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

  // Removes from an interface a program that this or an earlier sluiced left there. An error if the
  // interface has somebody else's program.
  static absl::Status RemoveLeftover(const std::string& interface);

  // Attaches the program to the interface with this MAC address; queue q is served by worker q % workers over
  // AF_XDP socket `sockets[q]`. Returns "native" or "generic".
  absl::StatusOr<std::string> Attach(const std::string& interface, const MacAddress& mac,
                                     std::span<const int> sockets);
  void Detach(const std::string& interface);

  // Applies changes in order. An error names the endpoint or prefix for which there was no room.
  absl::Status Apply(std::span<const EndpointChange> endpoints, std::span<const PrefixChange> prefixes = {});
  // Packets from real servers to these addresses are the kernel's (health checks, ssh).
  absl::Status SetHostAddresses(std::span<const IpAddress> addresses);

  // Where worker `worker` writes CLOCK_MONOTONIC nanoseconds: a store, no system call.
  uint64_t* heartbeat(int worker);

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
