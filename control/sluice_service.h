// The RPCs of sluice.v1.Sluice.
// Threads: gRPC's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>

#include "control/config_store.h"
#include "control/rate_limit.h"
#include "control/roles.h"
#include "control/stream_places.h"
#include "dataplane/runtime/dataplane.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {

class SluiceService final : public v1::Sluice::Service {
 public:
  // Who forwards, Sluice or the kernel.
  struct Switches {
    std::function<absl::StatusOr<v1::ReleaseResponse>()> release;
    std::function<absl::StatusOr<v1::TakeoverResponse>(const v1::TakeoverRequest& request)> take_over;
    std::function<absl::Status(const v1::SyncDaemon&)> start_daemon;
    std::function<absl::Status()> stop_daemon;
  };
  // `describe` adds what neither the store nor the data path knows.
  SluiceService(ConfigStore& store, Publisher& publisher, Dataplane& dataplane, const Switches& switches,
                uint32_t requests_per_second, StreamPlaces& streams, const Roles& roles,
                std::function<void(v1::GetInfoResponse&)> describe)
      : store_(store),
        publisher_(publisher),
        dataplane_(dataplane),
        switches_(switches),
        requests_per_second_(requests_per_second),
        rate_(requests_per_second),
        streams_(streams),
        roles_(roles),
        describe_(std::move(describe)) {}

  // What GetInfo answers.
  v1::GetInfoResponse Info();
  // What ListServices answers, of all.
  v1::ListServicesResponse Services();

  grpc::Status Apply(grpc::ServerContext*, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override;
  grpc::Status GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                         v1::GetConfigResponse* response) override;
  grpc::Status ListServices(grpc::ServerContext*, const v1::ListServicesRequest* request,
                            v1::ListServicesResponse* response) override;
  grpc::Status ListConnections(grpc::ServerContext* context, const v1::ListConnectionsRequest* request,
                               grpc::ServerWriter<v1::ListConnectionsResponse>* writer) override;
  grpc::Status FlushConnections(grpc::ServerContext*, const v1::FlushConnectionsRequest* request,
                                v1::FlushConnectionsResponse* response) override;
  grpc::Status ZeroStatistics(grpc::ServerContext*, const v1::ZeroStatisticsRequest* request,
                              v1::ZeroStatisticsResponse*) override;
  grpc::Status WatchConfig(grpc::ServerContext* context, const v1::WatchConfigRequest* request,
                           grpc::ServerWriter<v1::WatchConfigResponse>* writer) override;
  grpc::Status WatchStatistics(grpc::ServerContext* context, const v1::WatchStatisticsRequest* request,
                               grpc::ServerWriter<v1::ListServicesResponse>* writer) override;
  grpc::Status Release(grpc::ServerContext*, const v1::ReleaseRequest*,
                       v1::ReleaseResponse* response) override;
  grpc::Status Takeover(grpc::ServerContext*, const v1::TakeoverRequest* request,
                        v1::TakeoverResponse* response) override;
  grpc::Status StartSyncDaemon(grpc::ServerContext*, const v1::StartSyncDaemonRequest* request,
                               v1::StartSyncDaemonResponse*) override;
  grpc::Status StopSyncDaemon(grpc::ServerContext*, const v1::StopSyncDaemonRequest*,
                              v1::StopSyncDaemonResponse*) override;
  grpc::Status Explain(grpc::ServerContext*, const v1::ExplainRequest* request,
                       v1::ExplainResponse* response) override;
  grpc::Status GetInfo(grpc::ServerContext*, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override;

 private:
  class Stream;

  grpc::Status Admit(const grpc::ServerContext& context, Role needed);
  absl::StatusOr<v1::ListServicesResponse> List(const v1::ListServicesRequest& request);

  ConfigStore& store_;
  Publisher& publisher_;
  Dataplane& dataplane_;
  const Switches switches_;
  const uint32_t requests_per_second_;
  RateLimit rate_;
  StreamPlaces& streams_;
  const Roles roles_;
  std::atomic<uint64_t> refused_requests_{0};
  const std::function<void(v1::GetInfoResponse&)> describe_;
  void NoteApply(bool accepted, std::chrono::steady_clock::duration took);
  void AddTotals(v1::ListServicesResponse& response);

  Mutex mutex_;
  v1::ApplyTimes apply_times_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_applies_ ABSL_GUARDED_BY(mutex_) = 0;
  DestinationStatistics total_at_zero_ ABSL_GUARDED_BY(mutex_);
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace sluice
