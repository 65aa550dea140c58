// The RPCs of sluice.v1.Sluice.
// Threads: gRPC's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include "control/config_store.h"
#include "dataplane/runtime/dataplane.h"
#include "sluice/v1/sluice.grpc.pb.h"

namespace sluice {

class SluiceService final : public v1::Sluice::Service {
 public:
  // `describe` adds what neither the store nor the data path knows.
  SluiceService(ConfigStore& store, Dataplane& dataplane, std::function<void(v1::GetInfoResponse&)> describe)
      : store_(store), dataplane_(dataplane), describe_(std::move(describe)) {}

  grpc::Status Apply(grpc::ServerContext*, const v1::ApplyRequest* request,
                     v1::ApplyResponse* response) override;
  grpc::Status GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                         v1::GetConfigResponse* response) override;
  grpc::Status ListServices(grpc::ServerContext*, const v1::ListServicesRequest* request,
                            v1::ListServicesResponse* response) override;
  grpc::Status ListConnections(grpc::ServerContext* context, const v1::ListConnectionsRequest*,
                               grpc::ServerWriter<v1::ListConnectionsResponse>* writer) override;
  grpc::Status GetInfo(grpc::ServerContext*, const v1::GetInfoRequest*,
                       v1::GetInfoResponse* response) override;

 private:
  ConfigStore& store_;
  Dataplane& dataplane_;
  const std::function<void(v1::GetInfoResponse&)> describe_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

}  // namespace sluice
