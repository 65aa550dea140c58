// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/feed.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMostAtOnce = 20'000;  // services and real servers
constexpr size_t kLookAfter = 256;      // Services that are translated
constexpr size_t kRequestsAtOnce = 2;
constexpr auto kPatience = 60s;  // with sluiced
constexpr auto kRetryAfter = 500ms;
constexpr auto kReapEvery = 5s;
constexpr size_t kFewServices = 50;

std::unique_ptr<grpc::ClientContext> NewContext() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + kPatience);
  return context;
}

absl::Status ToStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
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
        std::this_thread::sleep_for(kRetryAfter);
        continue;
      }
      resync_at = Clock::now() + options_.sync_period;
    }
    // Before the cluster is known there is nothing to do; WaitForNews wakes when it is.
    const Clock::time_point look_at = !cluster_.IsListed()          ? Clock::now() + options_.sync_period
                                      : program_.Draining().empty() ? resync_at
                                                                    : std::min(resync_at, reap_at);
    Cluster::News news = cluster_.WaitForNews(look_at);
    if (stop_.load()) break;
    if (!cluster_.IsListed()) continue;
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
      Say(absl::StrCat("sluiced: ", absl::string_view(done.message())));
      ++metrics_.failed_applies;
      is_connected_ = false;
      cluster_.PutBack(std::move(news));
      std::this_thread::sleep_for(kRetryAfter);
      continue;
    }
    said_.clear();
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
      const auto stream = sluiced_->WatchConfig(&context, request);
      v1::WatchConfigResponse news;
      while (!stop_.load() && stream->Read(&news)) {
      }
      context.TryCancel();
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
  generation_ = has.generation();
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
    generation_ = response.generation();
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
  const bool is_another_node = TakeNode();
  if (news.all || is_another_node) {
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

// Addresses of the host's come and go; they are looked at with every sync.
bool Feed::TakeNode() {
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
  HostAddresses host = Sort(LocalAddresses(), options_.node_ports, policy.node_addresses);
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
  const bool is_there =
      cluster_.Look(name, [&](const ServiceObject& service, std::span<const SliceObject* const> slices) {
        translation = Translate(service, slices, policy_);
        uid = service.uid;
      });
  program_.Want(name, std::move(translation.services), translation.leaving);
  if (!is_there) {
    states_.erase(name);
    return;
  }
  State& state = states_[name];
  for (const std::string& complaint : translation.complaints) {
    if (std::find(state.complaints.begin(), state.complaints.end(), complaint) == state.complaints.end())
      complain_(name, uid, complaint);
  }
  state = {{translation.health_check_port, translation.local_ready, uid},
           translation.lacks_internal,
           translation.lacks_external,
           std::move(translation.complaints)};
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
      std::vector<v1::Change> changes = program_.NextChanges(kMostAtOnce);
      if (changes.empty()) break;
      under_way_.push_back(BeginApply(std::move(changes)));
    }
    if (under_way_.empty()) return result;
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

absl::Status Feed::EndApply(Applying& applying) {
  const grpc::Status status = applying.answer.get();
  if (status.ok()) {
    generation_ = std::max(generation_.value_or(0), uint64_t{applying.response.generation()});
    program_.Taken();
    return absl::OkStatus();
  }
  // All or nothing: those that it names are left out, and the others tried again.
  v1::Refusals refusals;
  bool any_left_out = false;
  if (refusals.ParseFromString(status.error_details())) {
    for (const v1::Refusal& refusal : refusals.refusals()) {
      const std::optional<size_t> change = ChangeOf(refusal.field());
      if (!change || *change >= static_cast<size_t>(applying.request.changes_size())) continue;
      any_left_out = true;
      ++metrics_.left_out;
      const std::string name = program_.LeaveOut(*change);
      std::fprintf(stderr, "sluice-kube: %s is left out: %s\n", name.c_str(), refusal.message().c_str());
    }
  }
  program_.Refused();
  return any_left_out ? absl::OkStatus() : ToStatus(status);
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
  uint64_t internal = 0, external = 0, complaints = 0;
  std::map<ObjectName, LocalHealth> health;
  for (const auto& [name, state] : states_) {
    internal += state.lacks_internal;
    external += state.lacks_external;
    complaints += state.complaints.size();
    if (state.health.port != 0) health[name] = state.health;
  }
  metrics_.no_local_internal.store(internal);
  metrics_.no_local_external.store(external);
  metrics_.wrong_annotations.store(complaints);
  told_health_(health);
}

// Each trouble once, until it is over.
void Feed::Say(const std::string& what) {
  if (what == said_) return;
  said_ = what;
  std::fprintf(stderr, "sluice-kube: %s\n", what.c_str());
}

}  // namespace sluice::kubernetes
