// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/mirror.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/ipvs/mirror_record.h"
#include "control/translate.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kLookEvery = 200ms;
constexpr auto kRetryEvery = 1s;
constexpr auto kHoldFor = 30s;

// What comes nearest, for schedulers that a kernel may be without.
std::string NeighbourOf(const std::string& scheduler) {
  if (scheduler == "mh" || scheduler == "dh") return "sh";
  if (scheduler == "lblcr") return "lblc";
  if (scheduler == "rr") return "wrr";
  return scheduler == "wlc" ? "rr" : "wlc";
}

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
  mirror->owned_ = *std::move(owned);
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
  bool was_in_step = false;
  while (!stop_.load()) {
    for (const ConfigHistory::Entry& news : store_.NewsAfter(told, Clock::now() + kLookEvery)) {
      Take(*news);
      told = news->diff().generation();
    }
    if (Clock::now() >= resync_at) {
      const absl::Status read = ReadKernel();
      Complain(read);
      in_doubt_ = !read.ok();
      resync_at = Clock::now() + (in_doubt_ ? std::chrono::milliseconds(kRetryEvery) : options_.resync);
    }
    if (!in_doubt_ && (!dirty_.empty() || timeouts_)) Write();
    if (in_doubt_) resync_at = std::min(resync_at, Clock::now() + kRetryEvery);
    const bool in_step = !in_doubt_ && dirty_.empty();
    if (was_in_step != in_step && options_.on_step) options_.on_step(in_step);
    was_in_step = in_step;
    const MutexLock lock(mutex_);
    generation_ = told.value_or(0);
    in_step_ = in_step;
    mutex_.NotifyAll();
  }
}

void Mirror::Take(const v1::WatchConfigResponse& news) {
  const auto key_of = [](const v1::ServiceKey& key) {
    return key.fwmark() != 0
               ? KeyOfFwmark(key.fwmark(), key.family())
               : ServiceKey{ToEndpoint(key.address(), key.port(), static_cast<Protocol>(key.protocol()))};
  };
  if (news.whole()) {
    for (const auto& [key, service] : wanted_) dirty_.insert(key);
    wanted_.clear();
  }
  for (const v1::Service& service : news.diff().config().services()) {
    const ServiceKey key = key_of(service.key());
    wanted_[key] = service;
    refused_.erase(key);
    dirty_.insert(key);
  }
  for (const v1::ServiceKey& message : news.diff().deleted_services()) {
    const ServiceKey key = key_of(message);
    wanted_.erase(key);
    refused_.erase(key);
    dirty_.insert(key);
  }
  if (news.diff().has_global()) timeouts_ = ToSpec(news.diff().config().timeouts());
}

// What differs from what we believed was changed by somebody else, and will be written again.
absl::Status Mirror::ReadKernel() {
  absl::StatusOr<std::vector<KernelService>> services = ipvs_->Services();
  if (!services.ok()) return services.status();
  can_masquerade_ = Masquerade::IsPossible();
  masquerade_.Forget();
  guard_.Forget();
  why_unguarded_.clear();
  are_names_other_ = true;
  std::map<ServiceKey, KernelService> present;
  foreign_.clear();
  for (KernelService& service : *services) {
    if (owned_.contains(service.key)) {
      present.emplace(service.key, std::move(service));
    } else {
      foreign_.insert(service.key);
    }
  }
  uint64_t repairs = 0;
  for (const auto& [key, service] : known_) {
    const auto found = present.find(key);
    repairs += found == present.end() || !(found->second == service);
  }
  for (const auto& [key, service] : present) dirty_.insert(key);
  for (const auto& [key, service] : wanted_) dirty_.insert(key);
  known_ = std::move(present);
  const MutexLock lock(mutex_);
  description_.set_repairs(description_.repairs() + repairs);
  return absl::OkStatus();
}

KernelForm Mirror::FormOf(const v1::Service& service) const {
  KernelForm form = ToKernel(service);
  if (!form.service) return form;
  if (form.needs.masquerade) LoseFullNat(form);
  if (!can_masquerade_) form.needs.own_clients.clear();
  KernelService& kernel = *form.service;
  for (const auto& [prefix, length] : options_.excluded) {
    const IpAddress& address = kernel.key.address;
    if (kernel.key.HasFwmark() || address.Prefix(length) != prefix) continue;
    return {std::nullopt,
            {absl::StrCat("its address is of ", prefix.ToString(), "/", length, ", which is excluded")},
            {}};
  }
  if (foreign_.contains(kernel.key))
    return {std::nullopt, {"the kernel has a service of this name that somebody else made"}, {}};
  if (form.needs.clients && !why_unguarded_.empty())
    return {
        std::nullopt, {absl::StrCat("others than its clients cannot be kept away: ", why_unguarded_)}, {}};
  if (const auto refused = refused_.find(kernel.key); refused != refused_.end()) {
    if (!refused->second.service.empty()) return {std::nullopt, {refused->second.service}, {}};
    for (const KernelDestination& each : refused->second.destinations) {
      std::erase_if(kernel.destinations, [&](const KernelDestination& other) { return other.IsAt(each); });
      form.lost.push_back(absl::StrCat("real server ", EndpointToString(each.address, each.port),
                                       ", which the kernel does not take"));
    }
  }
  for (int tries = 0; missing_schedulers_.contains(kernel.scheduler) && tries < 3; ++tries) {
    const std::string instead = NeighbourOf(kernel.scheduler);
    form.lost.push_back(absl::StrCat("scheduler ", kernel.scheduler,
                                     ", for which this kernel has no module ip_vs_", kernel.scheduler, ": ",
                                     instead, " instead"));
    kernel.scheduler = instead;
    kernel.flags &= ~uint32_t{0x38};  // flags mean something to a certain scheduler
  }
  return form;
}

void Mirror::LoseFullNat(KernelForm& form) const {
  const ServiceKey& key = form.service->key;
  const bool has_own_name = !key.HasFwmark() && key.port != Be16{};
  if (can_masquerade_ && has_own_name) {
    form.lost.push_back("full NAT becomes NAT with masquerade: connections there are break");
    return;
  }
  form.needs.masquerade = false;
  form.needs.keeps.clear();
  form.lost.push_back(absl::StrCat(
      "full NAT becomes NAT: connections there are break, and real servers must answer by this host",
      has_own_name ? "; with net.ipv4.vs.conntrack=1 they need not" : ""));
}

void Mirror::Write() {
  if (timeouts_) {
    const absl::Status set = ipvs_->SetTimeouts(*timeouts_);
    Complain(set);
    if (set.ok()) timeouts_.reset();
  }
  std::vector<std::pair<ServiceKey, KernelServiceChange>> changes;
  std::map<ServiceKey, KernelService> target;
  std::map<ServiceKey, PacketNeeds> needs;
  std::set<ServiceKey> to_own = owned_;
  for (const ServiceKey& key : dirty_) {
    const auto wanted = wanted_.find(key);
    KernelForm form;
    if (wanted != wanted_.end()) form = FormOf(wanted->second);
    if (wanted == wanted_.end() || form.lost.empty()) {
      notes_.erase(key);
    } else {
      notes_[key] = {!form.service, absl::StrJoin(form.lost, "; ")};
    }
    const auto have = known_.find(key);
    for (KernelServiceChange& change :
         Difference(have == known_.end() ? nullptr : &have->second, form.service ? &*form.service : nullptr))
      changes.emplace_back(key, std::move(change));
    if (form.service) {
      if (form.needs != PacketNeeds()) needs.emplace(key, std::move(form.needs));
      to_own.insert(key);
      target.emplace(key, *std::move(form.service));
    } else {
      to_own.erase(key);
    }
  }
  // What is written is ours before it is there, and what goes is ours until it has gone.
  std::set<ServiceKey> before = to_own;
  before.insert(owned_.begin(), owned_.end());
  if (before != owned_) {
    owned_ = std::move(before);
    Complain(KeepRecord());
  }
  if (!Guard(target, needs)) return;
  std::set<ServiceKey> failed;
  Send(changes, failed);
  std::set<ServiceKey> settled;
  for (const ServiceKey& key : dirty_) {
    if (failed.contains(key)) continue;
    const auto written = target.find(key);
    are_names_other_ |= (written == target.end()) == known_.contains(key);
    if (written == target.end()) {
      known_.erase(key);
    } else {
      known_[key] = std::move(written->second);
    }
    settled.insert(key);
  }
  if (failed.empty() && to_own != owned_) {
    owned_ = std::move(to_own);
    Complain(KeepRecord());
  }
  dirty_ = std::move(failed);
  SettleNeeds(settled, std::move(needs));
  uint64_t impossible = 0;
  for (const auto& [key, note] : notes_) impossible += note.impossible;
  const MutexLock lock(mutex_);
  description_.set_services(known_.size());
  description_.set_impossible_services(impossible);
  description_.set_approximated_services(notes_.size() - impossible);
  description_.clear_notes();
  constexpr int kMostNotes = 100;
  for (const auto& [key, note] : notes_) {
    if (description_.notes_size() == kMostNotes) break;
    v1::KernelMirror::Note& told = *description_.add_notes();
    *told.mutable_service() = ToMessage(key);
    told.set_impossible(note.impossible);
    told.set_what(note.what);
  }
}

// A service whose scheduler the kernel has not is tried again with another; one that was made by somebody
// else meanwhile is theirs; a real server that the kernel does not take is left out.
void Mirror::Send(const std::vector<std::pair<ServiceKey, KernelServiceChange>>& changes,
                  std::set<ServiceKey>& failed) {
  std::vector<KernelServiceChange> requests;
  for (const auto& [key, change] : changes) requests.push_back(change);
  const absl::StatusOr<std::vector<int>> answers = ipvs_->Apply(requests);
  if (!answers.ok()) {
    Complain(answers.status());
    in_doubt_ = true;
    for (const auto& [key, change] : changes) failed.insert(key);
    return;
  }
  using Kind = KernelServiceChange::Kind;
  uint64_t errors = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    const auto& [key, change] = changes[i];
    const int error = (*answers)[i];
    if (error == 0 || failed.contains(key)) continue;
    ++errors;
    if (change.kind == Kind::kNewService || change.kind == Kind::kSetService) {
      failed.insert(key);
      if (error == ENOENT) {
        missing_schedulers_.insert(change.service.scheduler);
      } else if (error == EEXIST) {
        owned_.erase(key);
        Complain(KeepRecord());
        in_doubt_ = true;
      } else if (error == EINVAL || error == ERANGE || error == EAFNOSUPPORT) {
        refused_[key].service = absl::StrCat("the kernel does not take it: ", std::strerror(error));
      } else {
        in_doubt_ = true;
      }
    } else if (change.kind == Kind::kNewDestination && error == EINVAL) {
      refused_[key].destinations.push_back(change.destination);
      failed.insert(key);
    } else {
      failed.insert(key);
      in_doubt_ = true;
    }
  }
  const MutexLock lock(mutex_);
  description_.set_errors(description_.errors() + errors);
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
      guarded, [&](const ServiceKey& key) { return !dirty_.contains(key) || services.contains(key); });
  if (set.ok()) {
    guarded_ = std::move(guarded);
    return true;
  }
  Complain(set);
  // The second time nothing new needs it.
  return !std::exchange(why_unguarded_, std::string(set.message())).empty();
}

absl::Status Mirror::KeepClientsAway(const std::map<ServiceKey, PacketNeeds::Ranges>& guarded,
                                     const std::function<bool(const ServiceKey&)>& stays) {
  std::set<ServiceKey> names;
  if (std::any_of(guarded.begin(), guarded.end(),
                  [](const auto& each) { return each.first.port == Be16{}; })) {
    names = foreign_;
    for (const auto& [key, service] : known_) {
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
  for (const auto& [key, service] : known_) {
    if (!key.HasFwmark()) addresses.insert(key.address);
  }
  const absl::Status masqueraded =
      masquerade_.Set(needs_, can_masquerade_ ? addresses : std::set<IpAddress>());
  const absl::Status bound =
      are_names_other_ ? interface_->SetAddresses(addresses).status() : absl::OkStatus();
  Complain(masqueraded);
  Complain(bound);
  are_needs_other_ = !masqueraded.ok();
  are_names_other_ = !bound.ok();
}

absl::Status Mirror::HoldFullNat(const std::set<IpAddress>& local_addresses) {
  return masquerade_.Hold(local_addresses, kHoldFor);
}

absl::Status Mirror::KeepRecord() { return WriteMirrorRecord(options_.record, owned_); }

// Each new trouble once.
void Mirror::Complain(const absl::Status& status) {
  if (status.ok()) return;
  const std::string text = absl::StrCat("kernel IPVS: ", absl::string_view(status.message()));
  if (text != last_complaint_) std::fprintf(stderr, "sluiced: %s\n", text.c_str());
  last_complaint_ = text;
}

}  // namespace sluice
