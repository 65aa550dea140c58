// The XDP program of one interface: loaded for it, attached and detached by index, never anybody else's.
// The MAC address and VLANs, which change while it runs, are memory that the program reads.
// Threads: one at a time; Steering sees to it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/mac_address.h"
#include "dataplane/xdp/interface.h"

struct bpf_object;
struct sluice_interface;

namespace sluice {

inline constexpr std::string_view kSteerName = "sluice_steer";
inline constexpr std::string_view kStubName = "sluice_stub";

struct ObjectCloser {
  void operator()(bpf_object* object) const;
};
using BpfObject = std::unique_ptr<bpf_object, ObjectCloser>;

// An error of libbpf with what it complained of.
absl::Status LibbpfError(int error, const std::string& what);
// Opens the program, not yet loaded; queue q belongs to worker q % workers.
absl::StatusOr<BpfObject> OpenSteerProgram(int workers);
// The name of a program; empty if it has gone or may not be asked.
std::string ProgramName(uint32_t id);
// Removes from an interface a program that this or an earlier sluiced left there. An error if the interface
// has somebody else's program.
absl::Status RemoveLeftover(const InterfaceState& interface);

class Attachment {
 public:
  // `shared_map` gives the descriptor of a map that all interfaces share; queue q's packets go to
  // `sockets[q]`.
  static absl::StatusOr<std::unique_ptr<Attachment>> Load(int workers,
                                                          std::span<const char* const> shared_names,
                                                          const std::function<int(const char*)>& shared_map,
                                                          std::span<const int> sockets);
  ~Attachment();  // detaches

  // Returns "native" or "generic". An error if the interface has a program.
  absl::StatusOr<std::string> Attach(int interface_index);
  void Detach();

  uint32_t program_id() const { return program_id_; }
  void SetMac(const MacAddress& mac);
  void SetVlans(std::span<const uint16_t> vlans);

 private:
  Attachment() = default;
  int program() const;

  BpfObject object_;
  sluice_interface* memory_ = nullptr;  // the program's
  uint32_t program_id_ = 0;
  int interface_index_ = 0;  // 0: attached to none
  uint32_t mode_ = 0;
};

}  // namespace sluice
