// sluiceadm: one command of ipvsadm's, over gRPC.
// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <variant>
#include <vector>

#include "sluice/v1/sluice.grpc.pb.h"
#include "tools/sluiceadm/change.h"
#include "tools/sluiceadm/command_line.h"
#include "tools/sluiceadm/print.h"

namespace sluice {
namespace {

constexpr char kDefaultServer[] = "unix:/run/sluice/sluiced.sock";
constexpr int kRefused = 255;

std::string ServerOf(const Command& command) {
  if (!command.server.empty()) return command.server;
  const char* environment = std::getenv("SLUICE_SERVER");
  return environment != nullptr && *environment != '\0' ? environment : kDefaultServer;
}

// ipvsadm's words where it has any.
std::string Words(const v1::Refusal& refusal) {
  switch (refusal.reason()) {
    case v1::SERVICE_EXISTS: return "Service already exists";
    case v1::SERVICE_NOT_FOUND: return "No such service";
    case v1::SERVICE_NOT_DEFINED: return "Service not defined";
    case v1::DESTINATION_EXISTS: return "Destination already exists";
    case v1::DESTINATION_NOT_FOUND: return "No such destination";
    case v1::SCHEDULER_NOT_FOUND: return "Scheduler or persistence engine not found";
    default: return refusal.message();
  }
}

int Complain(const grpc::Status& status, const std::string& server, int exit_status = kRefused) {
  v1::Refusals refusals;
  if (refusals.ParseFromString(status.error_details()) && refusals.refusals_size() > 0) {
    for (const v1::Refusal& refusal : refusals.refusals())
      std::fprintf(stderr, "%s\n", Words(refusal).c_str());
    return exit_status;
  }
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    std::fprintf(stderr, "No sluiced answers at %s: is it running, and may you open its socket?\n",
                 server.c_str());
  } else {
    std::fprintf(stderr, "%s\n", status.error_message().c_str());
  }
  return kRefused;
}

class Client {
 public:
  explicit Client(const Command& command) : command_(command), server_(ServerOf(command)) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    stub_ = v1::Sluice::NewStub(
        grpc::CreateCustomChannel(server_, grpc::InsecureChannelCredentials(), arguments));
  }

  int Run() {
    if (command_.verb != Verb::kList) return Change();
    if (command_.connections) return ListConnections();
    if (command_.show_local_addresses) return ListLocalAddresses();
    const bool is_global = command_.show_timeouts || command_.show_settings || command_.show_fwmark_rules;
    return is_global ? ListGlobal() : ListServices();
  }

 private:
  int Change() {
    v1::ApplyRequest request;
    request.set_owner(v1::CLI);
    *request.add_changes() = ChangeOf(command_);
    grpc::ClientContext context;
    v1::ApplyResponse response;
    const grpc::Status status = stub_->Apply(&context, request, &response);
    return status.ok() ? 0 : Complain(status, server_);
  }

  int ListServices() {
    v1::ListServicesRequest request;
    if (command_.key) *request.mutable_key() = *command_.key;
    grpc::ClientContext context;
    v1::ListServicesResponse response;
    const grpc::Status status = stub_->ListServices(&context, request, &response);
    if (!status.ok()) return Complain(status, server_, 1);
    std::fputs(PrintServices(response, command_).c_str(), stdout);
    return 0;
  }

  int ListGlobal() {
    grpc::ClientContext context;
    v1::GetConfigResponse response;
    const grpc::Status status = stub_->GetConfig(&context, {}, &response);
    if (!status.ok()) return Complain(status, server_);
    const v1::Config& config = response.config();
    if (command_.show_timeouts) std::fputs(PrintTimeouts(config.timeouts()).c_str(), stdout);
    if (command_.show_settings) std::fputs(PrintSettings(config.settings()).c_str(), stdout);
    if (!command_.show_fwmark_rules) return 0;
    for (const v1::FwmarkRule& rule : config.fwmark_rules())
      std::fputs(PrintFwmarkRule(rule).c_str(), stdout);
    return 0;
  }

  int ListLocalAddresses() {
    grpc::ClientContext config_context;
    grpc::ClientContext info_context;
    v1::GetConfigResponse config;
    v1::GetInfoResponse info;
    grpc::Status status = stub_->GetConfig(&config_context, {}, &config);
    if (status.ok()) status = stub_->GetInfo(&info_context, {}, &info);
    if (!status.ok()) return Complain(status, server_);
    std::fputs(PrintLocalAddresses(config.config(), info).c_str(), stdout);
    return 0;
  }

  int ListConnections() {
    grpc::ClientContext context;
    const auto reader = stub_->ListConnections(&context, {});
    v1::ListConnectionsResponse response;
    bool first = true;
    while (reader->Read(&response)) {
      if (first) std::fputs(ConnectionsTitle().c_str(), stdout);
      first = false;
      for (const v1::Connection& connection : response.connections())
        std::fputs(PrintConnection(connection, command_.numeric).c_str(), stdout);
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return Complain(status, server_);
    if (first) std::fputs(ConnectionsTitle().c_str(), stdout);
    return 0;
  }

  const Command& command_;
  const std::string server_;
  std::unique_ptr<v1::Sluice::Stub> stub_;
};

int Main(const std::string& program, const std::vector<std::string>& arguments) {
  const std::variant<Command, UsageError> parsed = ParseCommandLine(program, arguments);
  if (const auto* error = std::get_if<UsageError>(&parsed)) {
    std::fprintf(stderr, "%s\n", error->message.c_str());
    return error->status;
  }
  const Command& command = std::get<Command>(parsed);
  if (command.verb == Verb::kHelp) return std::fputs(HelpText(program).c_str(), stdout), 0;
  return Client(command).Run();
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argv[0], std::vector<std::string>(argv + 1, argv + argc));
}
