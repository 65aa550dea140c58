// sluiceadm: one command of ipvsadm's, over gRPC.
// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/channel/channel.h"
#include "tools/channel/json.h"
#include "tools/sluiceadm/change.h"
#include "tools/sluiceadm/command_line.h"
#include "tools/sluiceadm/print.h"
#include "tools/sluiceadm/rules.h"

namespace sluice {
namespace {

constexpr int kRefused = 255;

std::string BaseName(const std::string& program) { return program.substr(program.rfind('/') + 1); }

// Under that name it has nothing to say that ipvsadm would not say.
bool IsIpvsadm(const std::string& program) { return BaseName(program).starts_with("ipvsadm"); }

// ipvsadm's words where it has any.
std::string Words(const v1::Refusal& refusal) {
  switch (refusal.reason()) {
    case v1::SERVICE_EXISTS: return "Service already exists";
    case v1::SERVICE_NOT_FOUND: return "No such service";
    case v1::SERVICE_NOT_DEFINED: return "Service not defined";
    case v1::DESTINATION_EXISTS: return "Destination already exists";
    case v1::DESTINATION_NOT_FOUND: return "No such destination";
    case v1::DAEMON_RUNS_ALREADY: return "Daemon has already run";
    case v1::DAEMON_NOT_RUNNING: return "No daemon is running";
    case v1::SCHEDULER_NOT_FOUND: return "Scheduler or persistence engine not found";
    default: return refusal.message();
  }
}

// "TCP 10.0.0.1:80", "fwmark 7 IPV4".
std::string NameOf(const v1::ServiceKey& key) {
  if (key.fwmark() != 0)
    return absl::StrCat("fwmark ", key.fwmark(), " ", key.family() == v1::IPV6 ? "IPV6" : "IPV4");
  return absl::StrCat(v1::Protocol_Name(key.protocol()), " ",
                      AddressAndPort(key.address(), key.port(), key.protocol(), /*numeric=*/true));
}

int Complain(const grpc::Status& status, const std::string& server, int exit_status = kRefused) {
  v1::Refusals refusals;
  if (refusals.ParseFromString(status.error_details()) && refusals.refusals_size() > 0) {
    for (const v1::Refusal& refusal : refusals.refusals())
      std::fprintf(stderr, "%s\n", Words(refusal).c_str());
    if (refusals.left_out() > 0)
      std::fprintf(stderr, "and %llu more\n", static_cast<unsigned long long>(refusals.left_out()));
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
  Client(const std::string& program, const Command& command)
      : program_(program),
        command_(command),
        channel_(OpenChannel(command.server)),
        server_(channel_.server),
        stub_(channel_.stub.get()) {}

  int Run() {
    if (stub_ == nullptr) return std::fprintf(stderr, "%s\n", channel_.wrong.c_str()), kRefused;
    switch (command_.verb) {
      case Verb::kList: return List();
      case Verb::kSave: return Save();
      case Verb::kRestore: return Restore();
      case Verb::kZero: return Zero();
      case Verb::kStartDaemon: return StartDaemon();
      case Verb::kStopDaemon: return StopDaemon();
      default: return Apply({command_});
    }
  }

 private:
  int List() {
    if (command_.connections) return ListConnections();
    if (command_.show_local_addresses) return ListLocalAddresses();
    const bool is_global = command_.show_timeouts || command_.show_settings || command_.show_fwmark_rules;
    if (command_.show_daemons) return ListDaemons();
    return is_global ? ListGlobal() : ListServices();
  }

  // All or none.
  int Apply(const std::vector<Command>& commands) {
    v1::ApplyRequest request;
    request.set_owner(v1::CLI);
    for (const Command& command : commands) *request.add_changes() = ChangeOf(command);
    grpc::ClientContext context;
    v1::ApplyResponse response;
    const grpc::Status status = stub_->Apply(&context, request, &response);
    const bool clears = std::any_of(commands.begin(), commands.end(),
                                    [](const Command& each) { return each.verb == Verb::kClear; });
    if (!IsIpvsadm(program_) || clears) {
      for (const std::string& warning : response.warnings())
        std::fprintf(stderr, "Warning: %s\n", warning.c_str());
    }
    return status.ok() ? 0 : Complain(status, server_);
  }

  int Save() {
    grpc::ClientContext context;
    v1::GetConfigResponse response;
    const grpc::Status status = stub_->GetConfig(&context, {}, &response);
    if (!status.ok()) return Complain(status, server_);
    std::fputs(PrintRules(response.config(), command_).c_str(), stdout);
    return 0;
  }

  // In one transaction, so that nothing is between the old rules and the new; or as ipvsadm does it, line by
  // line.
  int Restore() {
    Rules rules = ParseRules(program_, std::cin, command_.clear_first);
    if (rules.error && !command_.partial) {
      std::fprintf(stderr, "%s\nLine %d of the rules is wrong: none of them was applied\n",
                   rules.error->message.c_str(), rules.error_line);
      return rules.error->status;
    }
    if (!command_.force) {
      if (const grpc::Status status = LeaveOthersAlone(rules.commands); !status.ok())
        return Complain(status, server_);
    }
    if (!command_.partial) {
      std::vector<Command> commands = rules.commands;
      if (command_.clear_first)
        commands.insert(commands.begin(), Command{.verb = Verb::kClear, .force = command_.force});
      return Apply(commands);
    }
    int result = 0;
    for (const Command& command : rules.commands) result = Apply({command});
    if (!rules.error) return result;
    std::fprintf(stderr, "%s\n", rules.error->message.c_str());
    return rules.error->status;
  }

  // Rules were saved without owners: what belongs to another now would become the operator's.
  grpc::Status LeaveOthersAlone(std::vector<Command>& commands) {
    grpc::ClientContext context;
    v1::GetConfigResponse has;
    const grpc::Status status = stub_->GetConfig(&context, {}, &has);
    if (!status.ok()) return status;
    std::set<std::string> of_others;
    for (const v1::Service& service : has.config().services()) {
      if (service.owner() != v1::CLI && service.owner() != v1::FILE) of_others.insert(NameOf(service.key()));
    }
    std::set<std::string> left_alone;
    std::erase_if(commands, [&](const Command& command) {
      if (!command.key || !of_others.contains(NameOf(*command.key))) return false;
      left_alone.insert(NameOf(*command.key));
      return true;
    });
    if (!left_alone.empty()) {
      std::fprintf(stderr,
                   "Warning: %zu service%s of the rules belong%s to another owner, as %s, and stayed as they "
                   "are; to take them over, say --force\n",
                   left_alone.size(), left_alone.size() == 1 ? "" : "s", left_alone.size() == 1 ? "s" : "",
                   left_alone.begin()->c_str());
    }
    return status;
  }

  int Zero() {
    v1::ZeroStatisticsRequest request;
    if (command_.key) *request.mutable_key() = *command_.key;
    grpc::ClientContext context;
    v1::ZeroStatisticsResponse response;
    const grpc::Status status = stub_->ZeroStatistics(&context, request, &response);
    return status.ok() ? 0 : Complain(status, server_);
  }

  int ListDaemons() {
    grpc::ClientContext context;
    v1::GetInfoResponse info;
    const grpc::Status status = stub_->GetInfo(&context, {}, &info);
    if (!status.ok()) return Complain(status, server_);
    if (info.kernel_mirror().has_sync_daemon())
      std::fputs(PrintDaemon(info.kernel_mirror().sync_daemon()).c_str(), stdout);
    return 0;
  }

  int StartDaemon() {
    if (!command_.is_master)
      return std::fputs("Sluice is nobody's backup yet: only `master' can be started\n", stderr), kRefused;
    v1::StartSyncDaemonRequest request;
    *request.mutable_daemon() = command_.daemon;
    grpc::ClientContext context;
    v1::StartSyncDaemonResponse response;
    const grpc::Status status = stub_->StartSyncDaemon(&context, request, &response);
    return status.ok() ? 0 : Complain(status, server_);
  }

  int StopDaemon() {
    if (!command_.is_master) return std::fputs("No daemon is running\n", stderr), kRefused;
    grpc::ClientContext context;
    v1::StopSyncDaemonResponse response;
    const grpc::Status status = stub_->StopSyncDaemon(&context, {}, &response);
    return status.ok() ? 0 : Complain(status, server_);
  }

  int ListServices() {
    v1::ListServicesRequest request;
    if (command_.key) *request.mutable_key() = *command_.key;
    grpc::ClientContext context;
    v1::ListServicesResponse response;
    const grpc::Status status = stub_->ListServices(&context, request, &response);
    if (!status.ok()) return Complain(status, server_, 1);
    if (command_.json) return PrintJson(response), 0;
    std::fputs(PrintServices(response, command_).c_str(), stdout);
    return 0;
  }

  int ListGlobal() {
    grpc::ClientContext context;
    v1::GetConfigResponse response;
    const grpc::Status status = stub_->GetConfig(&context, {}, &response);
    if (!status.ok()) return Complain(status, server_);
    if (command_.json) return PrintJson(response), 0;
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
    if (command_.json) return PrintJson(info), 0;
    std::fputs(PrintLocalAddresses(config.config(), info).c_str(), stdout);
    return 0;
  }

  int ListConnections() {
    grpc::ClientContext context;
    const auto reader = stub_->ListConnections(&context, {});
    v1::ListConnectionsResponse response;
    bool first = true;
    while (reader->Read(&response)) {
      if (command_.json) {
        PrintJson(response);
        continue;
      }
      if (first) std::fputs(ConnectionsTitle().c_str(), stdout);
      first = false;
      for (const v1::Connection& connection : response.connections())
        std::fputs(PrintConnection(connection, command_.numeric).c_str(), stdout);
    }
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return Complain(status, server_);
    if (first && !command_.json) std::fputs(ConnectionsTitle().c_str(), stdout);
    return 0;
  }

  const std::string program_;
  const Command& command_;
  const Channel channel_;
  const std::string& server_;
  v1::Sluice::Stub* const stub_;
};

int Main(const std::string& program, std::vector<std::string> arguments) {
  // ipvsadm's two scripts: -S; and -C with -R of what is no comment.
  const bool saves = BaseName(program).ends_with("-save");
  const bool restores = BaseName(program).ends_with("-restore");
  if (saves) arguments.insert(arguments.begin(), "-S");
  if (restores) arguments.insert(arguments.begin(), "-R");
  std::variant<Command, UsageError> parsed = ParseCommandLine(program, arguments);
  if (const auto* error = std::get_if<UsageError>(&parsed)) {
    std::fprintf(stderr, "%s\n", error->message.c_str());
    return error->status;
  }
  Command& command = std::get<Command>(parsed);
  command.clear_first = restores;
  if (command.verb == Verb::kHelp) return std::fputs(HelpText(program).c_str(), stdout), 0;
  return Client(program, command).Run();
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  return sluice::Main(argv[0], std::vector<std::string>(argv + 1, argv + argc));
}
