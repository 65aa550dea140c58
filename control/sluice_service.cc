// SPDX-License-Identifier: Apache-2.0
#include "control/sluice_service.h"

#include <thread>

#include "absl/strings/str_cat.h"
#include "control/connection_filter.h"
#include "control/explain.h"
#include "control/translate.h"
#include "control/validate.h"

namespace sluice {
namespace {

// absl's and gRPC's codes have the same numbers. The list of refusals travels as the details.
grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.raw_code()), std::string(status.message()),
          RefusalsOf(status).SerializeAsString()};
}

constexpr std::chrono::milliseconds kLookEvery{200};  // whether a stream's client is still there

}  // namespace

// A place among the streams that may be open.
class SluiceService::Stream {
 public:
  Stream(SluiceService& service, const grpc::ServerContext& context)
      : places_(service.streams_), context_(context) {
    status_ = service.Admit(context, Role::kRead);
    if (!status_.ok()) return;
    holds_ = places_.Take();
    if (holds_) return;
    status_ = {grpc::StatusCode::RESOURCE_EXHAUSTED,
               absl::StrCat("there are ", places_.most(),
                            " open streams already: close one, or give sluiced more with --max-streams")};
  }
  ~Stream() {
    if (holds_) places_.GiveBack();
  }

  const grpc::Status& status() const { return status_; }
  bool GoesOn() const { return !context_.IsCancelled() && !places_.ends(); }
  // How it ends that does not go on.
  grpc::Status Ended() const {
    if (!places_.ends()) return grpc::Status::OK;
    return {grpc::StatusCode::UNAVAILABLE, "sluiced ends"};
  }

 private:
  StreamPlaces& places_;
  const grpc::ServerContext& context_;
  bool holds_ = false;
  grpc::Status status_;
};

grpc::Status SluiceService::Admit(const grpc::ServerContext& context, Role needed) {
  if (const absl::Status allowed = roles_.Check(context, needed); !allowed.ok()) {
    refused_requests_.fetch_add(1, std::memory_order_relaxed);
    return ToGrpc(allowed);
  }
  if (rate_.Admits(std::chrono::steady_clock::now())) return grpc::Status::OK;
  refused_requests_.fetch_add(1, std::memory_order_relaxed);
  return {grpc::StatusCode::RESOURCE_EXHAUSTED,
          absl::StrCat("more than ", requests_per_second_,
                       " requests a second: ask less often, put changes into one request, or give sluiced "
                       "more with --max-requests-per-second")};
}

grpc::Status SluiceService::Apply(grpc::ServerContext* context, const v1::ApplyRequest* request,
                                  v1::ApplyResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kWrite); !admitted.ok()) return admitted;
  const auto begin = std::chrono::steady_clock::now();
  absl::StatusOr<v1::ApplyResponse> applied = store_.Apply(*request);
  NoteApply(applied.ok(), std::chrono::steady_clock::now() - begin);
  if (applied.ok()) *response = *std::move(applied);
  return ToGrpc(applied.status());
}

grpc::Status SluiceService::GetConfig(grpc::ServerContext* context, const v1::GetConfigRequest*,
                                      v1::GetConfigResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kRead); !admitted.ok()) return admitted;
  *response = store_.Config();
  return grpc::Status::OK;
}

grpc::Status SluiceService::ListServices(grpc::ServerContext* context, const v1::ListServicesRequest* request,
                                         v1::ListServicesResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kRead); !admitted.ok()) return admitted;
  absl::StatusOr<v1::ListServicesResponse> listed = List(*request);
  if (listed.ok()) *response = *std::move(listed);
  return ToGrpc(listed.status());
}

absl::StatusOr<v1::ListServicesResponse> SluiceService::List(const v1::ListServicesRequest& request) {
  absl::StatusOr<v1::ListServicesResponse> listed = store_.ListServices(request);
  if (listed.ok()) AddTotals(*listed);
  return listed;
}

v1::ListServicesResponse SluiceService::Services() { return *List({}); }

void SluiceService::AddTotals(v1::ListServicesResponse& response) {
  DestinationStatistics total = dataplane_.TotalStatistics();
  {
    const MutexLock lock(mutex_);
    total -= total_at_zero_;
  }
  *response.mutable_total() = ToMessage(total);
  response.set_connection_capacity(dataplane_.ConnectionCapacity());
}

void SluiceService::NoteApply(bool accepted, std::chrono::steady_clock::duration took) {
  constexpr double kBounds[] = {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5};
  const double seconds = std::chrono::duration<double>(took).count();
  const MutexLock lock(mutex_);
  if (!accepted) {
    ++refused_applies_;
    return;
  }
  if (apply_times_.counts_size() == 0) {
    apply_times_.mutable_upper_bounds()->Add(std::begin(kBounds), std::end(kBounds));
    for (size_t i = 0; i <= std::size(kBounds); ++i) apply_times_.add_counts(0);
  }
  for (int i = 0; i < apply_times_.counts_size(); ++i) {
    if (i == apply_times_.upper_bounds_size() || seconds <= apply_times_.upper_bounds(i))
      apply_times_.set_counts(i, apply_times_.counts(i) + 1);
  }
  apply_times_.set_sum_seconds(apply_times_.sum_seconds() + seconds);
}

grpc::Status SluiceService::ListConnections(grpc::ServerContext* context,
                                            const v1::ListConnectionsRequest* request,
                                            grpc::ServerWriter<v1::ListConnectionsResponse>* writer) {
  const Stream stream(*this, *context);
  if (!stream.status().ok()) return stream.status();
  Problems problems;
  std::optional<ConnectionFilter> filter = ConnectionFilter::Make(*request, problems);
  if (!filter) return ToGrpc(problems.ToStatus());
  if (request->has_service()) {
    absl::StatusOr<std::vector<bool>> members = store_.MembersOf(request->service(), "service");
    if (!members.ok()) return ToGrpc(members.status());
    filter->LimitTo(*std::move(members));
  }
  dataplane_.ListConnections([&](const std::vector<ConnectionStatus>& connections) {
    v1::ListConnectionsResponse response;
    for (const ConnectionStatus& connection : connections) {
      if (filter->Admits(connection)) *response.add_connections() = ToMessage(connection);
    }
    return stream.GoesOn() && (response.connections_size() == 0 || writer->Write(response));
  });
  return stream.Ended();
}

grpc::Status SluiceService::FlushConnections(grpc::ServerContext* context,
                                             const v1::FlushConnectionsRequest* request,
                                             v1::FlushConnectionsResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kWrite); !admitted.ok()) return admitted;
  const absl::StatusOr<std::vector<bool>> members = store_.MembersOf(request->service(), "service");
  if (!members.ok()) return ToGrpc(members.status());
  const Dataplane::Forgotten forgotten = dataplane_.ForgetConnections(*members);
  response->set_connections(forgotten.connections);
  response->set_templates(forgotten.templates);
  return grpc::Status::OK;
}

// A client that reads slowly stops this thread, and finds a whole configuration once it reads again; nobody
// waits for it.
grpc::Status SluiceService::WatchConfig(grpc::ServerContext* context, const v1::WatchConfigRequest* request,
                                        grpc::ServerWriter<v1::WatchConfigResponse>* writer) {
  const Stream stream(*this, *context);
  if (!stream.status().ok()) return stream.status();
  std::optional<uint64_t> told;
  if (request->after_generation() != 0) told = request->after_generation();
  while (stream.GoesOn()) {
    for (const ConfigHistory::Entry& news :
         store_.NewsAfter(told, std::chrono::steady_clock::now() + kLookEvery)) {
      if (!writer->Write(*news)) return grpc::Status::OK;
      told = news->diff().generation();
    }
  }
  return stream.Ended();
}

grpc::Status SluiceService::WatchStatistics(grpc::ServerContext* context,
                                            const v1::WatchStatisticsRequest* request,
                                            grpc::ServerWriter<v1::ListServicesResponse>* writer) {
  constexpr uint32_t kShortest = 100;
  constexpr uint32_t kLongest = 3'600'000;
  constexpr uint32_t kDefault = 2000;
  const Stream stream(*this, *context);
  if (!stream.status().ok()) return stream.status();
  const uint32_t wanted = request->interval_ms() == 0 ? kDefault : request->interval_ms();
  if (wanted < kShortest || wanted > kLongest) {
    Problems problems;
    problems.Add(v1::OUT_OF_RANGE_VALUE, "interval_ms",
                 absl::StrCat(wanted, ": must be ", kShortest, "..", kLongest));
    return ToGrpc(problems.ToStatus());
  }
  v1::ListServicesRequest listing;
  if (request->has_key()) *listing.mutable_key() = request->key();
  auto next = std::chrono::steady_clock::now();
  while (stream.GoesOn()) {
    const auto now = std::chrono::steady_clock::now();
    if (now < next) {
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(next - now, kLookEvery));
      continue;
    }
    const absl::StatusOr<v1::ListServicesResponse> listed = List(listing);
    if (!listed.ok()) return ToGrpc(listed.status());
    if (!writer->Write(*listed)) return grpc::Status::OK;
    next = now + std::chrono::milliseconds(wanted);
  }
  return stream.Ended();
}

grpc::Status SluiceService::Release(grpc::ServerContext* context, const v1::ReleaseRequest*,
                                    v1::ReleaseResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kAll); !admitted.ok()) return admitted;
  absl::StatusOr<v1::ReleaseResponse> released = switches_.release();
  if (released.ok()) *response = *std::move(released);
  return ToGrpc(released.status());
}

grpc::Status SluiceService::Takeover(grpc::ServerContext* context, const v1::TakeoverRequest* request,
                                     v1::TakeoverResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kAll); !admitted.ok()) return admitted;
  absl::StatusOr<v1::TakeoverResponse> taken = switches_.take_over(*request);
  if (taken.ok()) *response = *std::move(taken);
  return ToGrpc(taken.status());
}

grpc::Status SluiceService::StartSyncDaemon(grpc::ServerContext* context,
                                            const v1::StartSyncDaemonRequest* request,
                                            v1::StartSyncDaemonResponse*) {
  if (const grpc::Status admitted = Admit(*context, Role::kAll); !admitted.ok()) return admitted;
  return ToGrpc(switches_.start_daemon(request->daemon()));
}

grpc::Status SluiceService::StopSyncDaemon(grpc::ServerContext* context, const v1::StopSyncDaemonRequest*,
                                           v1::StopSyncDaemonResponse*) {
  if (const grpc::Status admitted = Admit(*context, Role::kAll); !admitted.ok()) return admitted;
  return ToGrpc(switches_.stop_daemon());
}

grpc::Status SluiceService::Explain(grpc::ServerContext* context, const v1::ExplainRequest* request,
                                    v1::ExplainResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kRead); !admitted.ok()) return admitted;
  Problems problems;
  const std::optional<FlowKey> flow = ValidateFlow(*request, problems);
  if (!flow) return ToGrpc(problems.ToStatus());
  *response = sluice::Explain(*flow, *publisher_.Current().snapshot, dataplane_);
  return grpc::Status::OK;
}

grpc::Status SluiceService::ZeroStatistics(grpc::ServerContext* context,
                                           const v1::ZeroStatisticsRequest* request,
                                           v1::ZeroStatisticsResponse*) {
  if (const grpc::Status admitted = Admit(*context, Role::kWrite); !admitted.ok()) return admitted;
  const absl::Status zeroed = store_.ZeroStatistics(*request);
  if (zeroed.ok() && !request->has_key()) {
    const MutexLock lock(mutex_);
    total_at_zero_ = dataplane_.TotalStatistics();
  }
  return ToGrpc(zeroed);
}

grpc::Status SluiceService::GetInfo(grpc::ServerContext* context, const v1::GetInfoRequest*,
                                    v1::GetInfoResponse* response) {
  if (const grpc::Status admitted = Admit(*context, Role::kRead); !admitted.ok()) return admitted;
  *response = Info();
  return grpc::Status::OK;
}

v1::GetInfoResponse SluiceService::Info() {
  v1::GetInfoResponse response;
  response.set_generation(store_.generation());
  response.set_workers(static_cast<uint32_t>(dataplane_.workers()));
  const std::vector<PortStatus> ports = dataplane_.ports();
  for (size_t i = 0; i < ports.size(); ++i) {
    const PortStatus& status = ports[i];
    v1::PortInfo& port = *response.add_ports();
    port.set_name(status.name);
    port.set_driver(status.driver);
    port.set_mac_address(status.mac.ToString());
    port.set_queues(static_cast<uint32_t>(status.queues));
    port.set_kernel_interface(status.kernel_interface);
    port.set_link_up(status.link_up);
    port.set_attached(status.is_attached);
    port.set_gone(status.is_gone);
    port.set_trouble(status.trouble);
    port.set_trouble_seconds(status.trouble_seconds);
    port.set_xdp_mode(status.xdp_mode);
    port.set_spreading(status.spreading);
    for (const QueueCounts& counts : dataplane_.Queues(i)) {
      v1::QueueInfo& queue = *port.add_queue_infos();
      queue.set_received_packets(counts.received_packets);
      queue.set_received_bytes(counts.received_bytes);
      queue.set_sent_packets(counts.sent_packets);
      queue.set_sent_bytes(counts.sent_bytes);
    }
  }
  response.set_connections(dataplane_.ConnectionCount());
  response.set_connection_capacity(dataplane_.ConnectionCapacity());
  for (const CounterStatus& status : dataplane_.Counters()) {
    v1::CounterValue& counter = *response.add_counters();
    counter.set_name(std::string(status.name));
    counter.set_meaning(std::string(status.meaning));
    counter.set_value(status.value);
  }
  const auto uptime = std::chrono::steady_clock::now() - started_;
  response.set_uptime_seconds(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(uptime).count()));
  for (v1::LocalAddressInfo& info : store_.LocalAddresses())
    *response.add_local_addresses() = std::move(info);
  for (const WorkerStatus& status : dataplane_.WorkerStatuses()) {
    v1::WorkerInfo& worker = *response.add_worker_infos();
    worker.set_rounds(status.rounds);
    worker.set_bursts(status.bursts);
    worker.set_packets(status.packets);
    worker.set_busy_seconds(static_cast<double>(status.busy_nanoseconds) / 1e9);
    worker.set_silent_seconds(static_cast<double>(status.silent_nanoseconds) / 1e9);
    worker.set_connections(status.connections);
    worker.set_timer_lag_seconds(status.timer_lag_ms / 1e3);
    worker.set_heartbeat_limit_seconds(static_cast<double>(status.heartbeat_limit_ns) / 1e9);
  }
  {
    const MutexLock lock(mutex_);
    *response.mutable_apply_times() = apply_times_;
    response.set_refused_applies(refused_applies_);
  }
  response.set_drained(store_.drained());
  response.set_refused_requests(refused_requests_.load(std::memory_order_relaxed) + streams_.refused());
  response.set_streams(streams_.taken());
  describe_(response);
  return response;
}

}  // namespace sluice
