// A virtual service as kernel IPVS has it, and what must be done to make one of another.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/ipvs/packet_needs.h"
#include "dataplane/config/spec.h"

namespace sluice::v1 {
class Service;
}  // namespace sluice::v1

namespace sluice {

struct KernelDestination {
  IpAddress address;
  Be16 port;
  uint32_t method = 0;  // IPVS's numbers: 0 NAT, 2 tunnel, 3 direct
  int32_t weight = 1;
  uint32_t upper_threshold = 0;
  uint32_t lower_threshold = 0;
  uint8_t tunnel_type = 0;
  uint16_t tunnel_port = 0;
  uint16_t tunnel_flags = 0;

  bool IsAt(const KernelDestination& other) const { return address == other.address && port == other.port; }
  friend bool operator==(const KernelDestination&, const KernelDestination&) = default;
};

struct KernelService {
  ServiceKey key;
  std::string scheduler;
  uint32_t flags = 0;    // IP_VS_SVC_F_..., without HASHED
  uint32_t timeout = 0;  // of persistence, seconds
  uint8_t prefix_length = 32;
  std::string engine;
  std::vector<KernelDestination> destinations;  // in the order of adding

  bool SameSettings(const KernelService& other) const {
    return key == other.key && scheduler == other.scheduler && flags == other.flags &&
           timeout == other.timeout && prefix_length == other.prefix_length && engine == other.engine;
  }
  friend bool operator==(const KernelService& a, const KernelService& b) {
    return a.SameSettings(b) && a.destinations == b.destinations;
  }
};

struct KernelServiceChange {
  enum class Kind {
    kNewService,
    kSetService,
    kDeleteService,
    kNewDestination,
    kSetDestination,
    kDeleteDestination
  };
  Kind kind;
  KernelService service;  // without destinations
  KernelDestination destination;
};

// What makes `have` (nullptr: nothing) become `wanted` (nullptr: nothing). The kernel puts what is added at
// the head of its list, and hash schedulers go by the order: destinations from the first that is out of it on
// are taken away and added anew; their connections wait for them.
std::vector<KernelServiceChange> Difference(const KernelService* have, const KernelService* wanted);

// How a service of ours can be one of the kernel's.
struct KernelForm {
  std::optional<KernelService> service;  // none: it cannot
  std::vector<std::string> lost;         // what of it the kernel cannot do; or why it cannot be at all
  PacketNeeds needs;                     // what else rules for packets must do
};
KernelForm ToKernel(const v1::Service& service);

// The other way round; owner and what the kernel does not know are left open.
v1::Service FromKernel(const KernelService& service);

}  // namespace sluice
