// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/mirror_plan.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "control/translate.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Clock = MirrorState::Clock;

// Repairs before a service counts as contested. It is then left alone, longer each time.
constexpr int kMostRounds = 3;
constexpr Clock::duration kFirstPeace = 1min;
constexpr Clock::duration kLongestPeace = 32min;
// Whoever does nothing for so long fights no more. Longer than the longest peace and what follows it.
constexpr Clock::duration kForgetAfter = 60min;

ServiceKey KeyFrom(const v1::ServiceKey& key) {
  return key.fwmark() != 0
             ? KeyOfFwmark(key.fwmark(), key.family())
             : ServiceKey{ToEndpoint(key.address(), key.port(), static_cast<Protocol>(key.protocol()))};
}

// The nearest substitute for a scheduler that the kernel may lack.
std::string NeighbourOf(const std::string& scheduler) {
  if (scheduler == "mh" || scheduler == "dh") return "sh";
  if (scheduler == "lblcr") return "lblc";
  if (scheduler == "rr") return "wrr";
  return scheduler == "wlc" ? "rr" : "wlc";
}

// By up to a quarter longer, so that not every service of every node comes at the same time.
Clock::duration PeaceAfter(int rounds, const ServiceKey& key) {
  const int doublings = std::min(rounds - kMostRounds - 1, 10);
  const Clock::duration peace = std::min(kLongestPeace, kFirstPeace * (1 << doublings));
  const size_t part = (IpAddressHash()(key.address) + key.port.ToHost() + static_cast<size_t>(rounds)) % 64;
  return peace + peace * static_cast<int64_t>(part) / 256;
}

void CountRound(MirrorState& state, const ServiceKey& key, Clock::time_point now) {
  MirrorState::Contest& contest = state.contests[key];
  ++contest.rounds;
  contest.last = now;
  if (contest.rounds > kMostRounds) contest.until = now + PeaceAfter(contest.rounds, key);
}

void LoseFullNat(const MirrorState& state, KernelForm& form) {
  const ServiceKey& key = form.service->key;
  const bool has_own_name = !key.HasFwmark() && key.port != Be16{};
  if (state.can_masquerade && has_own_name) {
    form.lost.push_back("full NAT becomes NAT with masquerade: connections there are break");
    return;
  }
  form.needs.masquerade = false;
  form.needs.keeps.clear();
  form.lost.push_back(absl::StrCat(
      "full NAT becomes NAT: connections there are break, and real servers must answer by this host",
      has_own_name ? "; with net.ipv4.vs.conntrack=1 they need not" : ""));
}

KernelForm Impossible(std::string why) { return {std::nullopt, {std::move(why)}, {}}; }

KernelForm FormOf(const MirrorState& state, const v1::Service& service) {
  KernelForm form = sluice::ToKernel(service);
  if (!form.service) return form;
  if (form.needs.masquerade) LoseFullNat(state, form);
  if (!state.can_masquerade) form.needs.own_clients.clear();
  KernelService& kernel = *form.service;
  for (const auto& [prefix, length] : state.excluded) {
    if (kernel.key.HasFwmark() || kernel.key.address.Prefix(length) != prefix) continue;
    return Impossible(
        absl::StrCat("its address is of ", prefix.ToString(), "/", length, ", which is excluded"));
  }
  if (state.foreign.contains(kernel.key))
    return Impossible("the kernel has a service of this name that somebody else made");
  if (form.needs.clients && !state.why_unguarded.empty())
    return Impossible(absl::StrCat("others than its clients cannot be kept away: ", state.why_unguarded));
  if (const auto refused = state.refused.find(kernel.key); refused != state.refused.end()) {
    if (!refused->second.service.empty()) return Impossible(refused->second.service);
    for (const KernelDestination& each : refused->second.destinations) {
      std::erase_if(kernel.destinations, [&](const KernelDestination& other) { return other.IsAt(each); });
      form.lost.push_back(absl::StrCat("real server ", EndpointToString(each.address, each.port),
                                       ", which the kernel does not take"));
    }
  }
  for (int tries = 0; state.missing_schedulers.contains(kernel.scheduler) && tries < 3; ++tries) {
    const std::string instead = NeighbourOf(kernel.scheduler);
    form.lost.push_back(absl::StrCat("scheduler ", kernel.scheduler,
                                     ", for which this kernel has no module ip_vs_", kernel.scheduler, ": ",
                                     instead, " instead"));
    kernel.scheduler = instead;
    kernel.flags &= ~uint32_t{0x38};  // flags mean something to a certain scheduler
  }
  return form;
}

void PlanService(const MirrorState& state, const ServiceKey& key, MirrorPlan& plan) {
  plan.handled.insert(key);
  const auto wanted = state.wanted.find(key);
  KernelForm form;
  if (wanted != state.wanted.end()) form = FormOf(state, wanted->second);
  if (!form.lost.empty()) plan.notes[key] = {!form.service, absl::StrJoin(form.lost, "; ")};
  const auto found = state.known.find(key);
  const KernelService* have = found == state.known.end() ? nullptr : &found->second;
  const KernelService* want = form.service ? &*form.service : nullptr;
  for (KernelServiceChange& change : Difference(have, want))
    plan.changes.emplace_back(key, std::move(change));
  for (const UdpServer& gone : GoneUdpServers(have, want)) plan.gone_udp_servers.insert(gone);
  if (!form.service) return;
  if (form.needs != PacketNeeds()) plan.needs.emplace(key, std::move(form.needs));
  if (!state.owned.contains(key)) plan.newly_owned.insert(key);
  plan.target.emplace(key, *std::move(form.service));
}

// A service whose scheduler the kernel has not is tried again with another, a real server that the kernel
// does not take is left out. One that is there although it was not read is somebody else's if it was not ours
// before; otherwise the kernel has left it out of what was read, as it does when another goes meanwhile, and
// it is read again.
void TakeRefusal(MirrorState& state, const MirrorPlan& plan, const ServiceKey& key,
                 const KernelServiceChange& change, int error, MirrorOutcome& outcome) {
  using Kind = KernelServiceChange::Kind;
  if (change.kind == Kind::kNewDestination && error == EINVAL) {
    state.refused[key].destinations.push_back(change.destination);
    return;
  }
  const bool is_service = change.kind == Kind::kNewService || change.kind == Kind::kSetService;
  if (is_service && error == ENOENT) {
    state.missing_schedulers.insert(change.service.scheduler);
    return;
  }
  if (is_service && (error == EINVAL || error == ERANGE || error == EAFNOSUPPORT)) {
    state.refused[key].service = absl::StrCat("the kernel does not take it: ", std::strerror(error));
    return;
  }
  outcome.in_doubt = true;
  if (!is_service || error != EEXIST) return;
  if (plan.newly_owned.contains(key)) {
    state.owned.erase(key);
  } else if (const auto contest = state.contests.find(key); contest != state.contests.end()) {
    contest->second.rounds -= contest->second.rounds > 0;  // nobody had taken it away
  }
}

// Services that are no longer wanted and are missing from two lists in a row are no longer owned.
void ForgetMissing(MirrorState& state, const std::map<ServiceKey, KernelService>& present) {
  std::set<ServiceKey> missed;
  for (const ServiceKey& key : state.owned) {
    if (!state.wanted.contains(key) && !present.contains(key)) missed.insert(key);
  }
  std::erase_if(state.owned,
                [&](const ServiceKey& key) { return missed.contains(key) && state.missed.contains(key); });
  state.missed = std::move(missed);
}

}  // namespace

bool MirrorState::IsContested(const ServiceKey& key, Clock::time_point now) const {
  const auto found = contests.find(key);
  return found != contests.end() && now < found->second.until;
}

size_t MirrorState::CountContested(Clock::time_point now) const {
  return static_cast<size_t>(std::count_if(contests.begin(), contests.end(),
                                           [&](const auto& each) { return now < each.second.until; }));
}

bool MirrorState::HasServicesOf(v1::Owner owner) const {
  return std::any_of(wanted.begin(), wanted.end(),
                     [&](const auto& each) { return each.second.owner() == owner; });
}

void TakeNews(MirrorState& state, const v1::WatchConfigResponse& news) {
  if (news.whole()) {
    for (const auto& [key, service] : state.wanted) state.dirty.insert(key);
    state.wanted.clear();
  }
  for (const v1::Service& service : news.diff().config().services()) {
    const ServiceKey key = KeyFrom(service.key());
    state.wanted[key] = service;
    state.refused.erase(key);
    state.dirty.insert(key);
  }
  for (const v1::ServiceKey& message : news.diff().deleted_services()) {
    const ServiceKey key = KeyFrom(message);
    state.wanted.erase(key);
    state.refused.erase(key);
    state.dirty.insert(key);
  }
}

// Differences from the known state were made by somebody else, and are repaired.
uint64_t Observe(MirrorState& state, std::vector<KernelService> services, Clock::time_point now) {
  std::map<ServiceKey, KernelService> present;
  state.foreign.clear();
  for (KernelService& service : services) {
    if (state.owned.contains(service.key)) {
      present.emplace(service.key, std::move(service));
    } else {
      state.foreign.insert(service.key);
    }
  }
  std::erase_if(state.contests, [&](const auto& each) {
    return now >= each.second.until && now - each.second.last >= kForgetAfter;
  });
  ForgetMissing(state, present);
  uint64_t repairs = 0;
  for (const auto& [key, service] : state.known) {
    const auto found = present.find(key);
    if ((found != present.end() && found->second == service) || state.IsContested(key, now)) continue;
    ++repairs;
    CountRound(state, key, now);
  }
  for (const auto& [key, service] : present) state.dirty.insert(key);
  for (const auto& [key, service] : state.wanted) state.dirty.insert(key);
  state.known = std::move(present);
  return repairs;
}

MirrorPlan PlanMirror(const MirrorState& state, Clock::time_point now) {
  MirrorPlan plan;
  for (const ServiceKey& key : state.dirty) {
    if (!state.IsContested(key, now)) {
      PlanService(state, key, plan);
      continue;
    }
    plan.left.insert(key);
    plan.notes[key] = {
        !state.known.contains(key),
        absl::StrCat(
            state.other, " changes it again and again: it is left alone for ",
            std::chrono::ceil<std::chrono::minutes>(state.contests.at(key).until - now).count(),
            " min; let only one of us write the kernel's IPVS (--kernel-ipvs-exclude, --kernel-ipvs=off)")};
  }
  return plan;
}

std::vector<int> Carry(
    const MirrorPlan& plan,
    const std::function<std::vector<int>(const std::vector<KernelServiceChange>&)>& apply) {
  std::vector<int> answers(plan.changes.size());
  std::set<ServiceKey> unmade;
  for (const bool makes_services : {true, false}) {
    std::vector<KernelServiceChange> requests;
    std::vector<size_t> places;
    for (size_t i = 0; i < plan.changes.size(); ++i) {
      const auto& [key, change] = plan.changes[i];
      if ((change.kind == KernelServiceChange::Kind::kNewService) != makes_services) continue;
      answers[i] = ECANCELED;
      if (unmade.contains(key)) continue;
      requests.push_back(change);
      places.push_back(i);
    }
    const std::vector<int> said = apply(requests);
    for (size_t i = 0; i < said.size(); ++i) {
      answers[places[i]] = said[i];
      if (makes_services && said[i] != 0) unmade.insert(plan.changes[places[i]].first);
    }
  }
  return answers;
}

MirrorOutcome Settle(MirrorState& state, const MirrorPlan& plan, const std::vector<int>& answers) {
  MirrorOutcome outcome;
  std::set<ServiceKey> failed;
  for (size_t i = 0; i < plan.changes.size(); ++i) {
    const auto& [key, change] = plan.changes[i];
    if (answers[i] == 0 || failed.contains(key)) continue;
    failed.insert(key);
    ++outcome.errors;
    TakeRefusal(state, plan, key, change, answers[i], outcome);
  }
  for (const std::set<ServiceKey>* keys : {&plan.handled, &plan.left}) {
    for (const ServiceKey& key : *keys) {
      const auto note = plan.notes.find(key);
      if (note == plan.notes.end()) {
        state.notes.erase(key);
      } else {
        state.notes[key] = note->second;
      }
    }
  }
  for (const ServiceKey& key : plan.handled) {
    if (failed.contains(key)) continue;
    const auto written = plan.target.find(key);
    outcome.names_changed |= (written == plan.target.end()) == state.known.contains(key);
    if (written == plan.target.end()) {
      if (state.known.erase(key) > 0) state.owned.erase(key);
    } else {
      state.known[key] = written->second;
    }
    outcome.settled.insert(key);
  }
  state.dirty = std::move(failed);
  return outcome;
}

}  // namespace sluice
