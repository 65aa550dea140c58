// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/feed.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <future>
#include <random>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "control/printable.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr size_t kLookAfter = 256;  // Services that are translated
constexpr size_t kRequestsAtOnce = 2;
constexpr auto kPatience = 60s;      // with sluiced
constexpr auto kRetryAfter = 500ms;  // doubles, with jitter
constexpr auto kLongestRetry = 8s;
constexpr auto kRereadEvery = 1s;
constexpr auto kTryLeftOutEvery = 5min;
constexpr auto kReapEvery = 5s;
constexpr size_t kFewServices = 50;
constexpr size_t kLongestReason = 300;
constexpr size_t kMostTold = 20;  // conflicts of a Service

std::unique_ptr<grpc::ClientContext> NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + kPatience);
  return context;
}

absl::Status ToStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Sluiced judged the request itself: the same request would be refused again. RESOURCE_EXHAUSTED is also what
// gRPC says of an answer or a request that is too long.
bool IsAboutTheRequest(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED: return false;
    default: return true;
  }
}

// Of "changes[17].put_service...".
std::optional<size_t> ChangeOf(const std::string& field) {
  constexpr absl::string_view kBegin = "changes[";
  size_t number = 0;
  if (!absl::StartsWith(field, kBegin)) return std::nullopt;
  const absl::string_view rest = absl::string_view(field).substr(kBegin.size());
  if (!absl::SimpleAtoi(rest.substr(0, rest.find(']')), &number)) return std::nullopt;
  return number;
}

// Up to half as much again, so that nodes do not all ask at once.
std::chrono::steady_clock::duration WithJitter(std::chrono::steady_clock::duration time) {
  static thread_local std::minstd_rand random{std::random_device()()};
  return time + time / 2 * std::uniform_int_distribution<int>(0, 100)(random) / 100;
}

double Now() { return absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()); }

}  // namespace

void Feed::Run() {
  std::thread watching([this] { WatchSluiced(); });
  Clock::time_point resync_at{}, reap_at{};
  while (!stop_.load()) {
    if (is_lost_.exchange(false)) {
      is_connected_ = false;
      generation_.reset();
    }
    if (!is_connected_) {
      const absl::Status connected = Connect();
      if (!connected.ok()) {
        Say(absl::StrCat("sluiced: ", absl::string_view(connected.message())));
        PauseAfterFailure();
        continue;
      }
      resync_at = Clock::now() + options_.sync_period;
    }
    Clock::time_point wait_until = resync_at;
    // Before the cluster is known there is nothing to do; WaitForNews wakes when it is.
    if (cluster_.IsListed()) {
      if (!program_.Draining().empty()) wait_until = std::min(wait_until, reap_at);
      if (IsChangedByOthers()) wait_until = std::min(wait_until, reread_at_);
    }
    Cluster::News news = cluster_.WaitForNews(wait_until);
    if (stop_.load()) break;
    if (!cluster_.IsListed()) {
      if (Clock::now() >= resync_at) {
        resync_at = Clock::now() + options_.sync_period;
        Say(absl::StrCat("nothing is changed in sluiced before the API server has told of: ",
                         cluster_.Missing(), " (does a Node of this name exist, and may it be read?)"));
      }
      continue;
    }
    if (Clock::now() >= try_left_out_at_) {
      program_.TryLeftOutAgain();
      try_left_out_at_ = Clock::now() + WithJitter(kTryLeftOutEvery);
    }
    if (Clock::now() >= resync_at) {
      resync_at = Clock::now() + options_.sync_period;
      news.all = true;
      is_connected_ = false;  // somebody may have changed what is ours
      if (const absl::Status connected = Connect(); !connected.ok()) {
        Say(absl::StrCat("sluiced: ", absl::string_view(connected.message())));
        cluster_.PutBack(std::move(news));
        continue;
      }
    }
    absl::Status done = Sync(news);
    if (done.ok() && Clock::now() >= reap_at) {
      reap_at = Clock::now() + kReapEvery;
      done = ReapDrained();
    }
    if (!done.ok()) {
      Say(absl::StrCat("changes wait: ", absl::string_view(done.message())));
      ++metrics_.failed_applies;
      is_connected_ = false;
      cluster_.PutBack(std::move(news));
      PauseAfterFailure();
      continue;
    }
    said_.clear();
    failures_ = 0;
    if (IsChangedByOthers() && Clock::now() >= reread_at_) is_connected_ = false;
    if (options_.min_sync_period > 0ms) std::this_thread::sleep_for(options_.min_sync_period);
  }
  watching.join();
}

void Feed::Stop() {
  stop_.store(true);
  cluster_.Wake();
  const MutexLock lock(mutex_);
  if (watching_ != nullptr) watching_->TryCancel();
}

void Feed::PauseAfterFailure() {
  const auto base = std::min<Clock::duration>(kRetryAfter * (1 << std::min(failures_++, 10)), kLongestRetry);
  const Clock::time_point end = Clock::now() + WithJitter(base);
  while (!stop_.load() && Clock::now() < end) std::this_thread::sleep_for(50ms);
}

void Feed::WatchSluiced() {
  while (!stop_.load()) {
    v1::GetInfoResponse info;
    if (sluiced_->GetInfo(NewContext().get(), {}, &info).ok()) {
      grpc::ClientContext context;
      {
        const MutexLock lock(mutex_);
        watching_ = &context;
      }
      v1::WatchConfigRequest request;
      request.set_after_generation(info.generation());
      watched_generation_.store(info.generation());
      const auto stream = sluiced_->WatchConfig(&context, request);
      v1::WatchConfigResponse news;
      while (!stop_.load() && stream->Read(&news)) {
        watched_generation_.store(news.diff().generation());
        if (news.diff().generation() > adopted_generation_.load()) cluster_.Wake();
      }
      // Not otherwise: it would hide why the stream ended.
      if (stop_.load()) context.TryCancel();
      const bool was_refused = stream->Finish().error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
      {
        const MutexLock lock(mutex_);
        watching_ = nullptr;
      }
      if (was_refused) {  // too many watch; then only a failing request tells
        for (int i = 0; i < 20 && !stop_.load(); ++i) std::this_thread::sleep_for(50ms);
        continue;
      }
    }
    is_lost_.store(true);
    cluster_.Wake();
    for (int i = 0; i < 5 && !stop_.load(); ++i) std::this_thread::sleep_for(50ms);
  }
}

// What sluiced has of ours, unless it has nothing but what we gave it.
absl::Status Feed::Connect() {
  v1::GetInfoResponse info;
  if (const auto got = ToStatus(sluiced_->GetInfo(NewContext().get(), {}, &info)); !got.ok()) return got;
  is_connected_ = true;
  if (!std::exchange(has_told_of_sluiced_, true)) {
    const v1::KernelMirror& mirror = info.kernel_mirror();
    std::printf("sluice-kube: sluiced %s, %u workers; the kernel's IPVS %s%s\n", info.version().c_str(),
                info.workers(), mirror.on() ? "has the same services" : "does not have its services: ",
                mirror.on() ? "" : mirror.why_off().c_str());
    std::fflush(stdout);
  }
  if (generation_ == info.generation()) return absl::OkStatus();
  v1::GetConfigResponse has;
  if (const auto got = ToStatus(sluiced_->GetConfig(NewContext().get(), {}, &has)); !got.ok()) return got;
  reread_at_ = Clock::now() + kRereadEvery;
  generation_ = seen_generation_ = has.generation();
  own_generations_.clear();
  adopted_generation_.store(*generation_);
  program_.Begin(has.config(), options_.policy.excluded);
  v1::ApplyRequest request;
  // As kube-proxy sets them: flows of a real server that is gone are scheduled anew.
  const v1::Settings& now = has.config().settings();
  if (!now.expire_nodest_conn() || !now.expire_quiescent_template()) {
    v1::Settings& settings = *request.add_changes()->mutable_set_settings();
    settings.set_expire_nodest_conn(true);
    settings.set_expire_quiescent_template(true);
  }
  if (options_.timeouts.ByteSizeLong() != 0)
    *request.add_changes()->mutable_set_timeouts() = options_.timeouts;
  for (const std::string& address : options_.masquerade_addresses) {
    const bool is_there =
        std::any_of(has.config().local_addresses().begin(), has.config().local_addresses().end(),
                    [&](const v1::LocalAddress& each) { return each.address() == address; });
    if (!is_there) request.add_changes()->mutable_add_local_address()->set_address(address);
  }
  for (const v1::LocalAddress& each : has.config().local_addresses()) {
    const std::vector<std::string>& wanted = options_.masquerade_addresses;
    if (each.owner() == v1::KUBERNETES &&
        std::find(wanted.begin(), wanted.end(), each.address()) == wanted.end())
      *request.add_changes()->mutable_delete_local_address() = each;
  }
  cluster_.LookAtAll();
  if (request.changes().empty()) return absl::OkStatus();
  request.set_owner(v1::KUBERNETES);
  v1::ApplyResponse response;
  const absl::Status applied = ToStatus(sluiced_->Apply(NewContext().get(), request, &response));
  if (applied.ok()) {
    Note(response);
    SettleGenerations();
  } else {  // it is all done again
    is_connected_ = false;
    generation_.reset();
  }
  return applied;
}

absl::Status Feed::Sync(Cluster::News& news) {
  if (!news.all && news.services.empty()) return absl::OkStatus();
  const Clock::time_point begin = Clock::now();
  metrics_.last_queued.store(Now());
  health_.Wait(begin);
  if (!IsBelievable()) {
    ++metrics_.disbelieved;
    must_look_at_all_ = true;
    health_.Done();
    return absl::OkStatus();
  }
  news.all |= std::exchange(must_look_at_all_, false);
  const absl::StatusOr<bool> is_another_node = TakeNode();
  if (!is_another_node.ok()) return is_another_node.status();
  if (news.all || *is_another_node) {
    const std::vector<ObjectName> names = cluster_.ServiceNames();
    if (const absl::Status done = TranslateAll(names); !done.ok()) return done;
    std::erase_if(states_, [&](const auto& each) {
      return !std::binary_search(names.begin(), names.end(), each.first);
    });
  }
  for (const ObjectName& name : news.services) TranslateOne(name);
  if (const absl::Status pushed = Push(/*whole=*/true); !pushed.ok()) return pushed;
  Observe(news, begin);
  return absl::OkStatus();
}

// The API server itself is a Service, and has endpoints: where there is none, the answer is wrong.
bool Feed::IsBelievable() {
  const bool has_nothing = cluster_.Count<ServiceObject>() == 0 || cluster_.Count<SliceObject>() == 0;
  if (!has_nothing || program_.service_count() == 0) return true;
  Say("the API server knows no Services or no EndpointSlices at all, which is not believed: everything stays "
      "as it is");
  return false;
}

// Addresses of the host's come and go; they are looked at with every sync. When they cannot be read those of
// the last time hold.
absl::StatusOr<bool> Feed::TakeNode() {
  NodePolicy policy = options_.policy;
  policy.node_name = options_.node_name;
  if (const std::optional<NodeObject> node = cluster_.Node()) {
    policy.zone = node->zone;
    for (const std::string& text : node->addresses) {
      if (const auto address = ParseAddress(text)) policy.node_addresses.push_back(*address);
    }
    for (const std::string& text : node->pod_cidrs) {
      const std::optional<Prefix> prefix = ParsePrefix(text);
      if (prefix && options_.has_node_cidr) policy.local_clients.push_back(*prefix);
    }
  }
  if (auto read = options_.local_addresses()) local_addresses_ = std::move(read);
  if (!local_addresses_)
    return absl::UnavailableError(
        absl::StrCat("this host's addresses cannot be read: ", std::strerror(errno)));
  HostAddresses host = Sort(*local_addresses_, options_.node_ports, policy.node_addresses);
  policy.local_addresses = std::move(host.all);
  policy.node_port_addresses = std::move(host.node_ports);
  const bool differs = policy != policy_;
  policy_ = std::move(policy);
  return differs;
}

// While sluiced takes the first the next are translated.
absl::Status Feed::TranslateAll(const std::vector<ObjectName>& names) {
  for (const ObjectName& name : names) {
    if (IsNeededByAll(name)) TranslateOne(name);
  }
  size_t count = 0;
  for (const ObjectName& name : names) {
    if (IsNeededByAll(name)) continue;
    TranslateOne(name);
    if (++count % kLookAfter != 0) continue;
    if (const absl::Status pushed = Push(/*whole=*/false); !pushed.ok()) return pushed;
  }
  program_.WantOnly(names);
  return absl::OkStatus();
}

void Feed::TranslateOne(const ObjectName& name) {
  Translation translation;
  std::string uid;
  int64_t created = 0;
  const bool is_there =
      cluster_.Look(name, [&](const ServiceObject& service, std::span<const SliceObject* const> slices) {
        translation = Translate(service, slices, policy_);
        uid = service.uid;
        created = service.created;
      });
  program_.Want(name, std::move(translation.services), translation.leaving, created);
  if (!is_there) {
    states_.erase(name);
    return;
  }
  State& state = states_[name];
  state.health = {translation.health_check_port, translation.local_ready, uid};
  state.lacks_internal = translation.lacks_internal;
  state.lacks_external = translation.lacks_external;
  Tell(name, "InvalidAnnotation", translation.complaints, state.complaints);
  Tell(name, "AddressNotServed", translation.unserved, state.unserved);
}

void Feed::Tell(const ObjectName& service, const char* reason, const std::vector<std::string>& now,
                std::vector<std::string>& told) {
  const std::vector<std::string> before = std::exchange(told, now);
  for (const std::string& what : now) {
    if (std::find(before.begin(), before.end(), what) == before.end())
      complain_(service, states_[service].health.uid, reason, what);
  }
}

// A request that sluiced has not yet answered.
struct Feed::Applying {
  std::unique_ptr<grpc::ClientContext> context = NewContext();
  v1::ApplyRequest request;
  v1::ApplyResponse response;
  std::future<grpc::Status> answer;
};

// While sluiced brings some to its workers it reads the next.
absl::Status Feed::Push(bool whole) {
  absl::Status result;
  while (true) {
    while (result.ok() && under_way_.size() < kRequestsAtOnce) {
      std::vector<v1::Change> changes = program_.NextChanges(most_at_once_);
      if (changes.empty()) break;
      under_way_.push_back(BeginApply(std::move(changes)));
    }
    if (under_way_.empty()) {
      SettleGenerations();
      return result;
    }
    Applying& oldest = *under_way_.front();
    const bool is_answered = oldest.answer.wait_for(0s) == std::future_status::ready;
    if (!whole && result.ok() && !is_answered) return result;
    result.Update(EndApply(oldest));
    under_way_.pop_front();
  }
}

std::shared_ptr<Feed::Applying> Feed::BeginApply(std::vector<v1::Change> changes) {
  auto applying = std::make_shared<Applying>();
  applying->request.set_owner(v1::KUBERNETES);
  for (v1::Change& change : changes) *applying->request.add_changes() = std::move(change);
  // Whoever answers may still be at it when the answer is read.
  const auto answer = std::make_shared<std::promise<grpc::Status>>();
  applying->answer = answer->get_future();
  sluiced_->async()->Apply(applying->context.get(), &applying->request, &applying->response,
                           [answer](grpc::Status status) { answer->set_value(std::move(status)); });
  return applying;
}

// All or nothing: those that a refusal names are left out, and the others tried again. Where none can be
// read, the requests become smaller until the one that is wrong is alone.
absl::Status Feed::EndApply(Applying& applying) {
  const grpc::Status status = applying.answer.get();
  if (status.ok()) {
    Note(applying.response);
    program_.Taken();
    most_at_once_ = std::min(2 * most_at_once_, kMostAtOnce);
    return absl::OkStatus();
  }
  if (!IsAboutTheRequest(status)) {
    program_.Refused();
    return ToStatus(status);
  }
  size_t left_out = LeaveOutRefused(applying, status);
  const bool is_alone = applying.request.changes_size() == 1;
  const bool may_be_too_fast =
      status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED && status.error_details().empty();
  if (left_out == 0 && is_alone && !may_be_too_fast) {
    LeaveOut(0, status.error_message());
    left_out = 1;
  }
  program_.Refused();
  if (left_out == 0 && is_alone) return ToStatus(status);
  if (!is_alone) SendLess(applying);
  return absl::OkStatus();
}

size_t Feed::LeaveOutRefused(const Applying& applying, const grpc::Status& status) {
  v1::Refusals refusals;
  if (!refusals.ParseFromString(status.error_details())) return 0;
  std::set<size_t> left_out;
  for (const v1::Refusal& refusal : refusals.refusals()) {
    const std::optional<size_t> change = ChangeOf(refusal.field());
    if (!change || *change >= static_cast<size_t>(applying.request.changes_size())) continue;
    if (left_out.insert(*change).second) LeaveOut(*change, refusal.message());
  }
  return left_out.size();
}

void Feed::LeaveOut(size_t change, const std::string& why) {
  ++metrics_.left_out;
  const auto [what, service] = program_.LeaveOut(change);
  const auto state = states_.find(service);
  if (state != states_.end()) {
    complain_(service, state->second.health.uid, "RefusedBySluiced",
              absl::StrCat(what, " is left out: ", Printable(why, kLongestReason)));
  } else {
    std::fprintf(stderr, "sluice-kube: %s is left out: %s\n", what.c_str(),
                 Printable(why, kLongestReason).c_str());
  }
}

void Feed::SendLess(const Applying& applying) {
  size_t size = 0;
  for (const v1::Change& change : applying.request.changes())
    size += 1 + static_cast<size_t>(change.put_service().service().destinations_size());
  most_at_once_ = std::max<size_t>(std::min(most_at_once_, size) / 2, 1);
}

void Feed::Note(const v1::ApplyResponse& response) {
  seen_generation_ = std::max(seen_generation_, uint64_t{response.generation()});
  if (!response.changed().empty()) own_generations_.insert(response.generation());
}

// Only what follows directly on what we know is adopted: between them others may have changed what is ours.
void Feed::SettleGenerations() {
  if (!generation_) return;
  while (own_generations_.erase(*generation_ + 1) > 0) ++*generation_;
  own_generations_.clear();
  adopted_generation_.store(*generation_);
}

bool Feed::IsChangedByOthers() const {
  return generation_ && std::max(watched_generation_.load(), seen_generation_) > *generation_;
}

absl::Status Feed::ReapDrained() {
  const std::vector<VirtualKey> draining = program_.Draining();
  metrics_.draining.store(draining.size());
  if (draining.empty()) return absl::OkStatus();
  std::vector<v1::ListServicesRequest> requests(1);
  if (draining.size() <= kFewServices) {
    requests.clear();
    for (const VirtualKey& key : draining) {
      v1::ServiceKey& wanted = *requests.emplace_back().mutable_key();
      wanted.set_protocol(key.protocol);
      wanted.set_address(key.address);
      wanted.set_port(key.port);
    }
  }
  for (const v1::ListServicesRequest& request : requests) {
    v1::ListServicesResponse response;
    const absl::Status listed = ToStatus(sluiced_->ListServices(NewContext().get(), request, &response));
    if (!listed.ok() && !absl::IsNotFound(listed)) return listed;
    for (const v1::ServiceStatus& service : response.services()) {
      const VirtualKey key = VirtualKey::Of(service.service().key());
      if (!std::binary_search(draining.begin(), draining.end(), key)) continue;
      for (const v1::DestinationStatus& each : service.destinations()) {
        if (each.destination().weight() == 0 && each.active_connections() + each.inactive_connections() == 0)
          program_.HasDrained(key, each.destination().address(), each.destination().port());
      }
    }
  }
  return Push(/*whole=*/true);
}

void Feed::Observe(const Cluster::News& news, Clock::time_point begin) {
  health_.Done();
  metrics_.sync_duration.Observe(std::chrono::duration<double>(Clock::now() - begin).count());
  metrics_.last_sync.store(Now());
  metrics_.service_changes += news.service_changes;
  metrics_.slice_changes += news.slice_changes;
  metrics_.services.store(cluster_.Count<ServiceObject>());
  metrics_.virtual_services.store(program_.service_count());
  for (const auto& [service, times] : news.happened_at) {
    for (const absl::Time time : times)
      metrics_.programming_duration.Observe(absl::ToDoubleSeconds(absl::Now() - time));
  }
  ObserveLosses();
  uint64_t internal = 0, external = 0, complaints = 0, unserved = 0;
  std::map<ObjectName, LocalHealth> health;
  for (const auto& [name, state] : states_) {
    internal += state.lacks_internal;
    external += state.lacks_external;
    complaints += state.complaints.size();
    unserved += state.unserved.size();
    if (state.health.port != 0) health[name] = state.health;
  }
  metrics_.no_local_internal.store(internal);
  metrics_.no_local_external.store(external);
  metrics_.wrong_annotations.store(complaints);
  metrics_.unserved_addresses.store(unserved);
  told_health_(health);
}

// Services whose addresses another Service has.
void Feed::ObserveLosses() {
  std::map<ObjectName, std::vector<std::string>> lost;
  const std::vector<Program::Loss> losses = program_.Losses();
  for (const auto& [loser, winner, key] : losses) {
    std::vector<std::string>& of_loser = lost[loser];
    if (of_loser.size() == kMostTold) continue;
    of_loser.push_back(absl::StrCat(v1::Protocol_Name(key.protocol), " ", key.address, " port ", key.port,
                                    ": service ", winner.ToString(), " has it; it is not served here"));
  }
  for (auto& [name, state] : states_) {
    const auto found = lost.find(name);
    if (found != lost.end() || !state.lost.empty())
      Tell(name, "AddressConflict", found == lost.end() ? std::vector<std::string>() : found->second,
           state.lost);
  }
  metrics_.lost_claims.store(losses.size());
}

// Each trouble once, until it is over.
void Feed::Say(const std::string& what) {
  if (what == said_) return;
  said_ = what;
  std::fprintf(stderr, "sluice-kube: %s\n", Printable(what, 1000).c_str());
}

}  // namespace sluice::kubernetes
