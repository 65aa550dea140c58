// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/mirror.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "control/ipvs/kernel_settings.h"
#include "control/ipvs/mirror_record.h"
#include "control/ipvs/other_writer.h"
#include "control/translate.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookEvery = 200ms;
constexpr auto kRetryEvery = 1s;  // and twice as seldom each time, until
constexpr auto kRetrySeldom = 30s;
constexpr auto kHoldFor = 30s;
// The whole of conntrack is read for it.
constexpr auto kForgetFlowsEvery = 1s;

// As kube-proxy's strictARP.
absl::Status HaveStrictArp() {
  for (const auto& [name, value] : {std::pair("arp_ignore", 1), std::pair("arp_announce", 2)}) {
    const std::string path = absl::StrCat("/proc/sys/net/ipv4/conf/all/", name);
    if (!(std::ofstream(path) << value << std::flush))
      return absl::ErrnoToStatus(errno, absl::StrCat("--strict-arp: ", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Mirror>> Mirror::Start(const Options& options, ConfigStore& store) {
  std::unique_ptr<Mirror> mirror(new Mirror(options, store));
  absl::StatusOr<std::unique_ptr<KernelIpvs>> ipvs = KernelIpvs::Open();
  if (!ipvs.ok()) return ipvs.status();
  mirror->ipvs_ = *std::move(ipvs);
  absl::StatusOr<std::unique_ptr<DummyInterface>> interface = DummyInterface::Open(options.interface);
  if (!interface.ok()) return interface.status();
  mirror->interface_ = *std::move(interface);
  absl::StatusOr<std::set<ServiceKey>> owned = ReadMirrorRecord(options.record);
  if (!owned.ok()) return owned.status();
  mirror->state_.owned = mirror->recorded_ = *std::move(owned);
  mirror->state_.excluded = options.excluded;
  if (options.strict_arp) {
    if (const absl::Status strict = HaveStrictArp(); !strict.ok()) return strict;
  }
  mirror->thread_ = std::thread([raw = mirror.get()] { raw->Run(); });
  return mirror;
}

Mirror::~Mirror() {
  stop_.store(true);
  if (thread_.joinable()) thread_.join();
}

absl::StatusOr<std::vector<KernelService>> Mirror::Foreign(const Options& options) {
  const absl::StatusOr<std::unique_ptr<KernelIpvs>> ipvs = KernelIpvs::Open();
  if (!ipvs.ok()) return ipvs.status();
  const absl::StatusOr<std::set<ServiceKey>> owned = ReadMirrorRecord(options.record);
  if (!owned.ok()) return owned.status();
  absl::StatusOr<std::vector<KernelService>> services = (*ipvs)->Services();
  if (services.ok())
    std::erase_if(*services, [&](const KernelService& service) { return owned->contains(service.key); });
  return services;
}

absl::Status Mirror::Claim(const Options& options, const std::vector<KernelService>& services) {
  absl::StatusOr<std::set<ServiceKey>> owned = ReadMirrorRecord(options.record);
  if (!owned.ok()) return owned.status();
  for (const KernelService& service : services) owned->insert(service.key);
  return WriteMirrorRecord(options.record, *owned);
}

bool Mirror::WaitFor(uint64_t generation, std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  const MutexLock lock(mutex_);
  while ((generation_ < generation || !in_step_) && Clock::now() < end) mutex_.WaitUntil(end);
  return generation_ >= generation && in_step_;
}

void Mirror::Describe(v1::KernelMirror& mirror) {
  const MutexLock lock(mutex_);
  mirror.MergeFrom(description_);
  mirror.set_on(true);
  mirror.set_generation(generation_);
}

void Mirror::Run() {
  std::optional<uint64_t> told;
  Clock::time_point resync_at{};
  Clock::duration retry_after = kRetryEvery;
  bool was_in_step = false;
  while (!stop_.load()) {
    for (const ConfigHistory::Entry& news : store_.NewsAfter(told, Clock::now() + kLookEvery)) {
      TakeNews(state_, *news);
      if (news->diff().has_global()) timeouts_ = ToSpec(news->diff().config().timeouts());
      told = news->diff().generation();
    }
    if (!is_for_kubernetes_ && state_.HasServicesOf(v1::KUBERNETES)) {
      is_for_kubernetes_ = true;
      resync_at = {};  // settings first
    }
    if (Clock::now() >= resync_at) {
      retry_after = in_doubt_ ? std::min<Clock::duration>(2 * retry_after, kRetrySeldom) : kRetryEvery;
      const absl::Status read = ReadKernel();
      Complain(read);
      in_doubt_ = !read.ok();
      resync_at = Clock::now() + options_.resync;
    }
    if (!in_doubt_ && (!state_.dirty.empty() || timeouts_)) Write();
    if (in_doubt_) resync_at = std::min(resync_at, Clock::now() + retry_after);
    ForgetFlows();
    SayWhoElse();
    const bool in_step = !in_doubt_ && state_.dirty.empty() && contested_ == 0;
    if (was_in_step != in_step && options_.on_step) options_.on_step(in_step);
    was_in_step = in_step;
    const MutexLock lock(mutex_);
    generation_ = told.value_or(0);
    in_step_ = in_step;
    mutex_.NotifyAll();
  }
}

absl::Status Mirror::ReadKernel() {
  absl::StatusOr<std::vector<KernelService>> services = ipvs_->Services();
  if (!services.ok()) return services.status();
  if (is_for_kubernetes_) Complain(HaveKubernetesSettings());
  state_.can_masquerade = Masquerade::IsPossible();
  masquerade_.Forget();
  guard_.Forget();
  host_ports_.Forget();
  state_.why_unguarded.clear();
  are_names_other_ = true;
  const uint64_t repairs = Observe(state_, *std::move(services), Clock::now());
  const MutexLock lock(mutex_);
  description_.set_repairs(description_.repairs() + repairs);
  return absl::OkStatus();
}

// Once when it begins, and when there are more.
void Mirror::SayWhoElse() {
  const size_t contested = state_.CountContested(Clock::now());
  if (contested > contested_) {
    state_.other = OtherWriter();
    Complain(absl::AbortedError(
        absl::StrCat(state_.other, " undoes what is written, again and again: ", contested,
                     " services are left alone for a while; let only one of us write the kernel's IPVS")));
    for (const auto& [key, contest] : state_.contests) state_.dirty.insert(key);
  }
  contested_ = contested;
  const MutexLock lock(mutex_);
  description_.set_contested_services(contested);
  description_.set_contested_by(contested == 0 ? "" : state_.other);
}

void Mirror::Write() {
  if (timeouts_) {
    const absl::Status set = ipvs_->SetTimeouts(*timeouts_);
    Complain(set);
    if (set.ok()) timeouts_.reset();
  }
  MirrorPlan plan = PlanMirror(state_, Clock::now());
  state_.owned.insert(plan.newly_owned.begin(), plan.newly_owned.end());
  Complain(KeepRecord());
  if (!Guard(plan.target, plan.needs)) return;
  const MirrorOutcome outcome =
      Settle(state_, plan,
             Carry(plan, [this](const std::vector<KernelServiceChange>& changes) { return Send(changes); }));
  in_doubt_ |= outcome.in_doubt;
  are_names_other_ |= outcome.names_changed;
  Complain(KeepRecord());
  gone_udp_servers_.merge(plan.gone_udp_servers);
  SettleNeeds(outcome.settled, std::move(plan.needs));
  DescribeState();
  const MutexLock lock(mutex_);
  description_.set_errors(description_.errors() + outcome.errors);
}

std::vector<int> Mirror::Send(const std::vector<KernelServiceChange>& changes) {
  absl::StatusOr<std::vector<int>> answers = ipvs_->Apply(changes);
  if (answers.ok()) return *std::move(answers);
  Complain(answers.status());
  in_doubt_ = true;
  return std::vector<int>(changes.size(), EIO);
}

// Without net.ipv4.vs.conntrack IPVS leaves nothing there.
void Mirror::ForgetFlows() {
  if (gone_udp_servers_.empty() || Clock::now() < forget_flows_at_) return;
  forget_flows_at_ = Clock::now() + kForgetFlowsEvery;
  if (state_.can_masquerade) {
    const absl::Status forgotten = ForgetUdpFlows(gone_udp_servers_).status();
    Complain(forgotten);
    if (!forgotten.ok()) return;
  }
  gone_udp_servers_.clear();
}

void Mirror::DescribeState() {
  uint64_t impossible = 0;
  for (const auto& [key, note] : state_.notes) impossible += note.impossible;
  const MutexLock lock(mutex_);
  description_.set_services(state_.known.size());
  description_.set_impossible_services(impossible);
  description_.set_approximated_services(state_.notes.size() - impossible);
  description_.clear_notes();
  constexpr int kMostNotes = 100;
  for (const auto& [key, note] : state_.notes) {
    if (description_.notes_size() == kMostNotes) break;
    v1::KernelMirror::Note& told = *description_.add_notes();
    *told.mutable_service() = ToMessage(key);
    told.set_impossible(note.impossible);
    told.set_what(note.what);
  }
}

bool Mirror::Guard(const std::map<ServiceKey, KernelService>& services,
                   const std::map<ServiceKey, PacketNeeds>& needs) {
  std::map<ServiceKey, PacketNeeds::Ranges> guarded = guarded_;
  for (const auto& [key, need] : needs) {
    if (need.clients) guarded[key] = *need.clients;
  }
  // Of an earlier sluiced's there may be some: the kernel has their services, too.
  if (guarded.empty()) return true;
  const absl::Status set = KeepClientsAway(
      guarded, [&](const ServiceKey& key) { return !state_.dirty.contains(key) || services.contains(key); });
  if (set.ok()) {
    guarded_ = std::move(guarded);
    return true;
  }
  Complain(set);
  // The second time nothing new needs it.
  return !std::exchange(state_.why_unguarded, std::string(set.message())).empty();
}

absl::Status Mirror::KeepClientsAway(const std::map<ServiceKey, PacketNeeds::Ranges>& guarded,
                                     const std::function<bool(const ServiceKey&)>& stays) {
  std::set<ServiceKey> names;
  if (std::any_of(guarded.begin(), guarded.end(),
                  [](const auto& each) { return each.first.port == Be16{}; })) {
    names = state_.foreign;
    for (const auto& [key, service] : state_.known) {
      if (stays(key)) names.insert(key);
    }
  }
  return guard_.Set(guarded, names);
}

void Mirror::SettleNeeds(const std::set<ServiceKey>& services, std::map<ServiceKey, PacketNeeds> needs) {
  for (const ServiceKey& key : services) {
    const auto found = needs.find(key);
    if (found == needs.end() || !found->second.clients) guarded_.erase(key);
    if (found == needs.end()) {
      are_needs_other_ |= needs_.erase(key) != 0;
    } else if (PacketNeeds& before = needs_[key]; before != found->second) {
      before = std::move(found->second);
      are_needs_other_ = true;
    }
  }
  const absl::Status set = KeepClientsAway(guarded_, [](const ServiceKey&) { return true; });
  if (!guarded_.empty()) Complain(set);
  if (!are_names_other_ && !are_needs_other_) return;
  std::set<IpAddress> addresses;
  for (const auto& [key, service] : state_.known) {
    if (!key.HasFwmark()) addresses.insert(key.address);
  }
  const absl::Status masqueraded =
      masquerade_.Set(needs_, state_.can_masquerade ? addresses : std::set<IpAddress>());
  const absl::Status bound =
      are_names_other_ ? interface_->SetAddresses(addresses).status() : absl::OkStatus();
  Complain(masqueraded);
  Complain(bound);
  const absl::Status kept = KeepHostPortsOff();
  Complain(kept);
  are_needs_other_ = !masqueraded.ok();
  are_names_other_ = !bound.ok() || !kept.ok();
}

// Only from addresses that are there for services of Kubernetes: a node port's is the host's own.
absl::Status Mirror::KeepHostPortsOff() {
  if (!is_for_kubernetes_) return absl::OkStatus();
  std::set<IpAddress> addresses;
  std::set<ServiceKey> services = state_.foreign;
  for (const auto& [key, service] : state_.known) {
    services.insert(key);
    const auto wanted = state_.wanted.find(key);
    const bool is_kubernetes = wanted != state_.wanted.end() && wanted->second.owner() == v1::KUBERNETES;
    if (is_kubernetes && interface_->addresses().contains(key.address)) addresses.insert(key.address);
  }
  return host_ports_.KeepOff(addresses, services);
}

absl::Status Mirror::HoldFullNat(const std::set<IpAddress>& local_addresses) {
  return masquerade_.Hold(local_addresses, kHoldFor);
}

absl::Status Mirror::KeepRecord() {
  if (recorded_ == state_.owned) return absl::OkStatus();
  const absl::Status written = WriteMirrorRecord(options_.record, state_.owned);
  if (written.ok()) recorded_ = state_.owned;
  return written;
}

// Each new trouble once.
void Mirror::Complain(const absl::Status& status) {
  if (status.ok()) return;
  const std::string text = absl::StrCat("kernel IPVS: ", absl::string_view(status.message()));
  if (text != last_complaint_) std::fprintf(stderr, "sluiced: %s\n", text.c_str());
  last_complaint_ = text;
}

}  // namespace sluice
