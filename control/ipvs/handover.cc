// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/handover.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "control/ipvs/saved_connections.h"
#include "control/refusals.h"

namespace sluice {
namespace {

constexpr std::chrono::seconds kPatience{10};  // with the kernel taking the configuration

double MillisecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

void Say(const std::string& what) { std::fprintf(stderr, "sluiced: %s\n", what.c_str()); }

}  // namespace

std::unique_ptr<Handover> Handover::Start(const HandoverOptions& options, ConfigStore& store,
                                          Publisher& publisher, Dataplane& dataplane) {
  std::unique_ptr<Handover> handover(new Handover(options, store, publisher, dataplane));
  {
    const MutexLock lock(handover->switching_);
    handover->NoteStep(false);
    handover->StartMirror();
    if (options.adopt) handover->AdoptAtStart();
  }
  dataplane.SetSteering(true);
  return handover;
}

void Handover::AdoptAtStart() {
  const auto adopt = [&](const char* whose, absl::StatusOr<std::vector<ListedConnection>> connections)
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(switching_) {
                           const absl::Status adopted = Adopt(std::move(connections)).status();
                           if (!adopted.ok())
                             Say(absl::StrCat(whose, " connections are not adopted: ",
                                              absl::string_view(adopted.message())));
                         };
  if (Now().mirror != nullptr) adopt("the kernel's", ReadConnectionList());
  if (!options_.saved.empty()) adopt("saved", TakeSavedConnections(options_.saved));
}

void Handover::StartMirror() {
  if (options_.use == KernelIpvsUse::kOff) {
    const MutexLock lock(mutex_);
    why_off_ = "--kernel-ipvs=off";
    return;
  }
  absl::Status status;
  if (options_.use == KernelIpvsUse::kAuto) {
    const absl::StatusOr<std::vector<KernelService>> foreign = Mirror::Foreign(options_.mirror);
    status = foreign.status();
    if (foreign.ok() && !foreign->empty()) {
      status = absl::FailedPreconditionError(absl::StrCat(
          "somebody else programs the kernel's IPVS (", foreign->size(),
          " services): --kernel-ipvs=mirror goes beside them, sluice takeover --from kernel-ipvs "
          "makes them Sluice's"));
    }
  }
  if (status.ok()) {
    Mirror::Options mirrored = options_.mirror;
    mirrored.on_step = [this](bool in_step) { NoteStep(in_step); };
    absl::StatusOr<std::unique_ptr<Mirror>> mirror = Mirror::Start(mirrored, store_);
    status = mirror.status();
    const MutexLock lock(mutex_);
    if (status.ok()) parts_.mirror = *std::move(mirror);
    why_off_ = std::string(status.message());
  }
  if (!status.ok()) {
    Say(absl::StrCat("without a mirror in the kernel's IPVS: ", absl::string_view(status.message())));
    const MutexLock lock(mutex_);
    why_off_ = std::string(status.message());
    return;
  }
  if (options_.sync.policy.which == SyncPolicy::Which::kNone) return;
  if (const absl::Status started = StartSync(options_.sync); !started.ok()) {
    Say(absl::StrCat("the kernel's IPVS is not told of live connections: ",
                     absl::string_view(started.message())));
  }
}

absl::Status Handover::StartSync(const SyncMaster::Options& options) {
  absl::StatusOr<std::unique_ptr<SyncMaster>> sync = SyncMaster::Start(options, dataplane_);
  const MutexLock lock(mutex_);
  if (sync.ok()) parts_.sync = *std::move(sync);
  SettleStall();
  return sync.status();
}

absl::Status Handover::StartDaemon(const v1::SyncDaemon& daemon) {
  const MutexLock lock(switching_);
  if (const absl::Status ready = Check(); !ready.ok()) return ready;
  Problems problems;
  SyncMaster::Options options = options_.sync;
  if (options.policy.which == SyncPolicy::Which::kNone) options.policy.which = SyncPolicy::Which::kAll;
  if (Now().sync != nullptr) problems.Add(v1::DAEMON_RUNS_ALREADY, "daemon", "a sync daemon runs already");
  if (!daemon.interface().empty() && daemon.interface() != options.interface) {
    problems.Add(
        v1::NOT_SUPPORTED, "daemon.interface",
        absl::StrCat(daemon.interface(), ": other hosts are not told yet; this host's kernel is over ",
                     options.interface));
  }
  if (daemon.sync_id() > 255) {
    problems.Add(v1::OUT_OF_RANGE_VALUE, "daemon.sync_id",
                 absl::StrCat(daemon.sync_id(), ": must be 0..255"));
  }
  if (daemon.max_length() + daemon.port() + daemon.ttl() != 0 || !daemon.group().empty()) {
    problems.Add(v1::NOT_SUPPORTED, "daemon",
                 "length, group, port and ttl are as usual on the way to this host's kernel");
  }
  if (problems.Any()) return problems.ToStatus();
  if (daemon.sync_id() != 0) options.sync_id = static_cast<uint8_t>(daemon.sync_id());
  return StartSync(options);
}

absl::Status Handover::StopDaemon() {
  const MutexLock lock(switching_);
  const std::shared_ptr<SyncMaster> sync = Now().sync;
  Problems problems;
  if (sync == nullptr) problems.Add(v1::DAEMON_NOT_RUNNING, "", "no sync daemon is running");
  if (problems.Any()) return problems.ToStatus();
  {
    const MutexLock shortly(mutex_);
    parts_.sync.reset();
    SettleStall();
  }
  return sync->StopDaemon();
}

Handover::Parts Handover::Now() {
  const MutexLock lock(mutex_);
  return parts_;
}

absl::Status Handover::Check() {
  const MutexLock lock(mutex_);
  if (parts_.mirror != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("the kernel's IPVS does not have our services: ", why_off_));
}

// Only what is shared with the kernel can be left to it.
absl::Status Handover::CheckPorts() const {
  for (const PortStatus& port : dataplane_.ports()) {
    if (port.xdp_mode.empty())
      return absl::FailedPreconditionError(
          absl::StrCat("port ", port.name,
                       " is a device of Sluice's own: the kernel gets none of its packets but by Sluice"));
  }
  return absl::OkStatus();
}

// After this the kernel forwards, and knows what workers have done until then; from now on it knows better.
void Handover::Switch(const Parts& parts) {
  if (parts.sync != nullptr) {
    parts.sync->TellHalfOpen();
    // What is told of from now on must not wait behind it.
    parts.sync->WaitUntilRead();
  }
  dataplane_.SetSteering(false);
  if (parts.sync == nullptr) return;
  parts.sync->TellTheRest();
  parts.sync->SetPaused(true);
}

absl::StatusOr<v1::ReleaseResponse> Handover::Release() {
  const MutexLock lock(switching_);
  if (const absl::Status ready = Check(); !ready.ok()) return ready;
  if (const absl::Status ports = CheckPorts(); !ports.ok()) return ports;
  const Parts parts = Now();
  const uint64_t generation = store_.generation();
  if (!parts.mirror->WaitFor(generation, kPatience))
    return absl::UnavailableError(
        absl::StrCat("the kernel has not taken generation ", generation,
                     " of the configuration: sluice status says what it lacks; nothing was changed"));
  v1::ReleaseResponse response;
  if (parts.sync != nullptr) {
    parts.sync->TellAll();
  } else {
    Say("released, but the kernel was not told of live connections");
  }
  dataplane_.ListConnections([&](const std::vector<ConnectionStatus>& connections) {
    for (const ConnectionStatus& each : connections) {
      if (each.is_template) continue;
      const bool full_nat =
          dataplane_.destinations().way(each.destination_id).method == ForwardingMethod::kFullNat;
      response.set_connections(response.connections() + 1);
      response.set_full_nat_connections(response.full_nat_connections() + full_nat);
    }
    return true;
  });
  const auto begin = std::chrono::steady_clock::now();
  Switch(parts);
  response.set_switched_ms(MillisecondsSince(begin));
  dataplane_.LendConnections();
  return response;
}

absl::StatusOr<v1::TakeoverResponse> Handover::TakeOver(const v1::TakeoverRequest& request) {
  const MutexLock lock(switching_);
  v1::TakeoverResponse response;
  if (request.take_services()) {
    const v1::Owner owner = request.owner() == v1::OWNER_UNSPECIFIED ? v1::CLI : request.owner();
    if (const absl::Status taken = TakeServices(owner, response); !taken.ok()) return taken;
  }
  if (const absl::Status ready = Check(); !ready.ok()) return ready;
  const absl::StatusOr<Dataplane::AdoptedCounts> adopted = Adopt(ReadConnectionList());
  if (!adopted.ok()) return adopted.status();
  response.set_adopted_connections(adopted->made);
  response.set_known_connections(adopted->present);
  dataplane_.ForgetLentConnections();
  const auto begin = std::chrono::steady_clock::now();
  if (const Parts parts = Now(); parts.sync != nullptr) parts.sync->SetPaused(false);
  dataplane_.SetSteering(true);
  response.set_switched_ms(MillisecondsSince(begin));
  return response;
}

// In one transaction; what is ours already is not touched.
absl::Status Handover::TakeServices(v1::Owner owner, v1::TakeoverResponse& response) {
  const absl::StatusOr<std::vector<KernelService>> foreign = Mirror::Foreign(options_.mirror);
  if (!foreign.ok()) return foreign.status();
  v1::ApplyRequest request;
  request.set_owner(owner);
  for (const KernelService& service : *foreign) {
    v1::PutService& put = *request.add_changes()->mutable_put_service();
    *put.mutable_service() = FromKernel(service);
    put.set_replace_destinations(true);
  }
  const absl::StatusOr<v1::ApplyResponse> applied = store_.Apply(request);
  if (!applied.ok()) return applied.status();
  response.set_services(foreign->size());
  // A mirror that runs would write the record as it knows it: it is made anew.
  Parts before;
  {
    const MutexLock lock(mutex_);
    std::swap(before, parts_);
  }
  before = {};
  NoteStep(false);
  const absl::Status claimed = Mirror::Claim(options_.mirror, *foreign);
  StartMirror();
  return claimed;
}

absl::StatusOr<Dataplane::AdoptedCounts> Handover::Adopt(
    absl::StatusOr<std::vector<ListedConnection>> connections) {
  if (!connections.ok()) return connections.status();
  publisher_.WaitFor(store_.generation());
  const std::shared_ptr<const Snapshot> snapshot = publisher_.Current().snapshot;
  dataplane_.Adopt(AssignTemplates(*connections, *snapshot));
  const Dataplane::AdoptedCounts counts =
      dataplane_.Adopt(Assign(*connections, *snapshot, dataplane_.destinations()));
  const MutexLock lock(mutex_);
  adopted_ += counts.made;
  return counts;
}

void Handover::End() {
  const MutexLock lock(switching_);
  const Parts parts = Now();
  const bool kernel_goes_on = Check().ok() && CheckPorts().ok();
  if (kernel_goes_on) {
    HoldFullNat(parts);
    Switch(parts);
  }
  if (options_.saved.empty()) return;
  const absl::Status saved =
      SaveConnections(options_.saved, OnlyHere(/*all=*/!kernel_goes_on || parts.sync == nullptr));
  if (!saved.ok()) Say(std::string(saved.message()));
}

std::vector<ListedConnection> Handover::OnlyHere(bool all) {
  std::vector<ListedConnection> connections;
  dataplane_.ListConnections([&](const std::vector<ConnectionStatus>& chunk) {
    for (const ConnectionStatus& each : chunk) {
      const bool is_full_nat =
          dataplane_.destinations().way(each.destination_id).method == ForwardingMethod::kFullNat;
      if (!is_full_nat && !all) continue;
      const bool has_local_port = is_full_nat && !each.is_template;
      const Endpoint& client = each.client;
      const Endpoint& service = each.virtual_endpoint;
      connections.push_back(
          {.flow = {client.address, service.address, client.port, service.port, client.protocol},
           .server = each.destination,
           .local_address = has_local_port ? each.local.address : IpAddress(),
           .local_port = has_local_port ? each.local.port : Be16{},
           .state = each.state_number,
           .expires_seconds = each.expires_seconds});
    }
    return true;
  });
  return connections;
}

void Handover::HoldFullNat(const Parts& parts) {
  std::set<IpAddress> local_addresses;
  for (const ListedConnection& each : OnlyHere(/*all=*/false)) local_addresses.insert(each.local_address);
  if (local_addresses.empty()) return;
  const absl::Status held = parts.mirror->HoldFullNat(local_addresses);
  if (!held.ok())
    Say(absl::StrCat("connections with full NAT may be reset: ", absl::string_view(held.message())));
}

void Handover::NoteStep(bool in_step) {
  const MutexLock lock(mutex_);
  in_step_ = in_step;
  SettleStall();
}

// The kernel goes on if it has the services, and is told of connections: it resets those it does not know.
void Handover::SettleStall() {
  const bool goes_on = in_step_ && parts_.sync != nullptr;
  if (options_.on_stall != OnStall::kAuto) {
    why_stalled_ = options_.on_stall == OnStall::kPass ? "--on-stall=pass" : "--on-stall=drop";
  } else if (goes_on) {
    why_stalled_ = "the kernel's IPVS has the services and connections";
  } else {
    why_stalled_ = in_step_ ? "the kernel's IPVS does not know the connections"
                            : "the kernel's IPVS does not have the services";
  }
  dataplane_.SetPassesStalled(options_.on_stall == OnStall::kPass ||
                              (options_.on_stall == OnStall::kAuto && goes_on));
}

std::string Handover::WhyStalled() {
  const MutexLock lock(mutex_);
  return why_stalled_;
}

void Handover::Describe(v1::KernelMirror& description) {
  const Parts parts = Now();
  if (parts.mirror != nullptr) parts.mirror->Describe(description);
  if (parts.sync != nullptr) parts.sync->Describe(description);
  description.set_steering(dataplane_.steering());
  const MutexLock lock(mutex_);
  description.set_why_off(why_off_);
  description.set_adopted_connections(adopted_);
}

}  // namespace sluice
