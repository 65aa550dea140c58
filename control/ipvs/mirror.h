// Keeps the kernel's IPVS loaded with our services, and their addresses on an interface of the host's, so
// that traffic goes on when Sluice does not. Writes what differs; what somebody else changes of ours is
// repaired; what is not ours is not touched.
// Threads: has one of its own; the member functions may be called by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/config_store.h"
#include "control/ipvs/host_ports.h"
#include "control/ipvs/kernel_ipvs.h"
#include "control/ipvs/masquerade.h"
#include "control/ipvs/mirror_plan.h"
#include "control/ipvs/source_guard.h"
#include "control/kernel/dummy_interface.h"
#include "control/mutex.h"

namespace sluice {

class Mirror {
 public:
  struct Options {
    // Where it is noted which of the kernel's services are ours; it should live as long as the kernel.
    std::string record;
    std::string interface = "sluice-ipvs0";               // for the services' addresses
    std::vector<std::pair<IpAddress, uint8_t>> excluded;  // whose services are somebody else's
    std::chrono::milliseconds resync{30'000};
    bool strict_arp = false;  // other interfaces do not answer ARP for them
    // Called by the mirror's thread when the kernel is in step with the configuration, or is no longer.
    std::function<void(bool)> on_step;
  };

  static absl::StatusOr<std::unique_ptr<Mirror>> Start(const Options& options, ConfigStore& store);
  ~Mirror();  // the kernel keeps what it has

  // Services of the kernel that the record does not name.
  static absl::StatusOr<std::vector<KernelService>> Foreign(const Options& options);
  // From now on all of the kernel's services are ours.
  static absl::Status Claim(const Options& options, const std::vector<KernelService>& services);

  // Returns when the kernel has this generation, or did not take it in time.
  bool WaitFor(uint64_t generation, std::chrono::milliseconds limit);
  void Describe(v1::KernelMirror& mirror);
  // Before an orderly end: connections with full NAT, from these local addresses, are not reset for a while.
  absl::Status HoldFullNat(const std::set<IpAddress>& local_addresses);

 private:
  using Clock = std::chrono::steady_clock;
  Mirror(const Options& options, ConfigStore& store) : options_(options), store_(store) {}
  void Run();
  absl::Status ReadKernel();
  void Write();
  void SayWhoElse();
  // Before the kernel gets services, and loses those that are not among them. False: it cannot be done, and
  // what needs it must be thought over.
  bool Guard(const std::map<ServiceKey, KernelService>& services,
             const std::map<ServiceKey, PacketNeeds>& needs);
  absl::Status KeepClientsAway(const std::map<ServiceKey, PacketNeeds::Ranges>& guarded,
                               const std::function<bool(const ServiceKey&)>& stays);
  // What nobody needs any more, after the kernel has taken services.
  void SettleNeeds(const std::set<ServiceKey>& services, std::map<ServiceKey, PacketNeeds> needs);
  absl::Status KeepHostPortsOff();
  std::vector<int> Send(const std::vector<KernelServiceChange>& changes);
  void ForgetFlows();
  void DescribeState();
  absl::Status KeepRecord();
  void Complain(const absl::Status& status);

  const Options options_;
  ConfigStore& store_;
  std::unique_ptr<KernelIpvs> ipvs_;
  std::unique_ptr<DummyInterface> interface_;
  Masquerade masquerade_;
  SourceGuard guard_;
  HostPorts host_ports_;
  std::atomic<bool> stop_{false};

  // The thread's own.
  MirrorState state_;
  std::set<ServiceKey> recorded_;                      // state_.owned as the file has it
  std::optional<TimeoutSpec> timeouts_;                // not yet written
  std::map<ServiceKey, PacketNeeds> needs_;            // of those that have any
  std::map<ServiceKey, PacketNeeds::Ranges> guarded_;  // while the kernel may have them
  bool is_for_kubernetes_ = false;
  bool are_names_other_ = true;  // than those whose addresses the interface has
  bool are_needs_other_ = true;  // than those in the table of masquerade
  std::set<UdpServer> gone_udp_servers_;
  Clock::time_point forget_flows_at_{};
  size_t contested_ = 0;
  bool in_doubt_ = true;  // what the kernel has must be read
  std::string last_complaint_;

  Mutex mutex_;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  bool in_step_ ABSL_GUARDED_BY(mutex_) = false;  // the kernel took everything
  v1::KernelMirror description_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace sluice
