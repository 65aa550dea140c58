// SPDX-License-Identifier: Apache-2.0
#include "control/sluice_service.h"

#include "control/translate.h"

namespace sluice {
namespace {

// absl's and gRPC's codes have the same numbers. The list of refusals travels as the details.
grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.raw_code()), std::string(status.message()),
          RefusalsOf(status).SerializeAsString()};
}

}  // namespace

grpc::Status SluiceService::Apply(grpc::ServerContext*, const v1::ApplyRequest* request,
                                  v1::ApplyResponse* response) {
  absl::StatusOr<v1::ApplyResponse> applied = store_.Apply(*request);
  if (applied.ok()) *response = *std::move(applied);
  return ToGrpc(applied.status());
}

grpc::Status SluiceService::GetConfig(grpc::ServerContext*, const v1::GetConfigRequest*,
                                      v1::GetConfigResponse* response) {
  *response = store_.Config();
  return grpc::Status::OK;
}

grpc::Status SluiceService::ListServices(grpc::ServerContext*, const v1::ListServicesRequest* request,
                                         v1::ListServicesResponse* response) {
  absl::StatusOr<v1::ListServicesResponse> listed = store_.ListServices(*request);
  if (!listed.ok()) return ToGrpc(listed.status());
  *response = *std::move(listed);
  *response->mutable_total() = ToMessage(dataplane_.TotalStatistics());
  response->set_connection_capacity(dataplane_.ConnectionCapacity());
  return grpc::Status::OK;
}

grpc::Status SluiceService::ListConnections(grpc::ServerContext* context, const v1::ListConnectionsRequest*,
                                            grpc::ServerWriter<v1::ListConnectionsResponse>* writer) {
  dataplane_.ListConnections([&](const std::vector<ConnectionStatus>& connections) {
    v1::ListConnectionsResponse response;
    for (const ConnectionStatus& connection : connections)
      *response.add_connections() = ToMessage(connection);
    return !context->IsCancelled() && writer->Write(response);
  });
  return grpc::Status::OK;
}

grpc::Status SluiceService::GetInfo(grpc::ServerContext*, const v1::GetInfoRequest*,
                                    v1::GetInfoResponse* response) {
  response->set_generation(store_.generation());
  response->set_workers(static_cast<uint32_t>(dataplane_.workers()));
  for (size_t i = 0; i < dataplane_.ports().size(); ++i) {
    const PortStatus& status = dataplane_.ports()[i];
    v1::PortInfo& port = *response->add_ports();
    port.set_name(status.name);
    port.set_driver(status.driver);
    port.set_mac_address(status.mac.ToString());
    port.set_queues(static_cast<uint32_t>(status.queues));
    port.set_kernel_interface(status.kernel_interface);
    port.set_link_up(dataplane_.LinkUp(i));
    port.set_xdp_mode(status.xdp_mode);
    port.set_spreading(status.spreading);
  }
  response->set_connections(dataplane_.ConnectionCount());
  response->set_connection_capacity(dataplane_.ConnectionCapacity());
  for (const CounterStatus& status : dataplane_.Counters()) {
    v1::CounterValue& counter = *response->add_counters();
    counter.set_name(std::string(status.name));
    counter.set_meaning(std::string(status.meaning));
    counter.set_value(status.value);
  }
  const auto uptime = std::chrono::steady_clock::now() - started_;
  response->set_uptime_seconds(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(uptime).count()));
  for (v1::LocalAddressInfo& info : store_.LocalAddresses())
    *response->add_local_addresses() = std::move(info);
  describe_(*response);
  return grpc::Status::OK;
}

}  // namespace sluice
