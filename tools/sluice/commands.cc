// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/commands.h"

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tools/sluice/config_set.h"
#include "tools/sluice/status.h"

namespace sluice {
namespace {

// Colours are for terminals.
void PrintChange(const std::string& line) {
  static const bool coloured = isatty(STDOUT_FILENO);
  const char* colour = absl::StartsWith(line, "added")     ? "\033[32m"
                       : absl::StartsWith(line, "deleted") ? "\033[31m"
                                                           : "\033[33m";
  std::printf("%s%s%s\n", coloured ? colour : "", line.c_str(), coloured ? "\033[0m" : "");
}

grpc::Status Info(SluiceClient& client, v1::GetInfoResponse& info) {
  grpc::ClientContext context;
  return client.stub().GetInfo(&context, {}, &info);
}

grpc::Status Services(SluiceClient& client, v1::ListServicesResponse& services) {
  grpc::ClientContext context;
  return client.stub().ListServices(&context, {}, &services);
}

// The words of an answer that was accepted.
void PrintAnswer(const v1::ApplyResponse& response, bool json) {
  if (json) return PrintJson(response);
  for (const std::string& line : response.changed()) PrintChange(line);
  for (const std::string& warning : response.warnings())
    std::fprintf(stderr, "sluice: warning: %s\n", warning.c_str());
}

bool ParseOwner(const std::string& name, v1::Owner& owner) {
  if (name != "cli" && name != "file") return false;
  owner = name == "cli" ? v1::CLI : v1::FILE;
  return true;
}

// Whoever asks whether this node is ready is told no.
int DrainNode(SluiceClient& client, const Arguments& arguments) {
  v1::ApplyRequest request;
  request.set_owner(v1::CLI);
  request.add_changes()->set_set_drained(!arguments.Has("--undo"));
  grpc::ClientContext context;
  v1::ApplyResponse response;
  const grpc::Status status = client.stub().Apply(&context, request, &response);
  if (!status.ok()) return client.Complain(status);
  PrintAnswer(response, arguments.Has("--json"));
  return kDone;
}

// A real server of every service that has it gets weight 0, or another.
int DrainServer(SluiceClient& client, const Arguments& arguments) {
  uint32_t weight = 0;
  if (arguments.rest.size() != 1) return WrongUse("drain: which real server? ADDRESS or ADDRESS:PORT");
  if (!absl::SimpleAtoi(arguments.Value("--weight", "0"), &weight) || weight > INT32_MAX)
    return WrongUse(absl::StrCat("--weight ", arguments.Value("--weight"), ": must be 0..2147483647"));
  grpc::ClientContext config_context;
  v1::GetConfigResponse config;
  grpc::Status status = client.stub().GetConfig(&config_context, {}, &config);
  if (!status.ok()) return client.Complain(status);
  v1::ApplyRequest request;
  request.set_owner(v1::CLI);
  request.set_expected_generation(config.generation());
  const std::string& wanted = arguments.rest[0];
  for (const v1::Service& service : config.config().services()) {
    for (const v1::Destination& server : service.destinations()) {
      const bool is_v6 = server.address().find(':') != std::string::npos;
      const std::string named = is_v6 ? absl::StrCat("[", server.address(), "]") : server.address();
      if (wanted != server.address() && wanted != named && wanted != absl::StrCat(named, ":", server.port()))
        continue;
      v1::PutDestination& put = *request.add_changes()->mutable_put_destination();
      put.set_mode(v1::UPDATE);
      *put.mutable_service() = service.key();
      *put.mutable_destination() = server;
      put.mutable_destination()->set_weight(weight);
    }
  }
  if (request.changes_size() == 0) {
    std::fprintf(stderr, "sluice: no service has the real server %s; sluice get shows those there are\n",
                 wanted.c_str());
    return kRefused;
  }
  grpc::ClientContext context;
  v1::ApplyResponse response;
  status = client.stub().Apply(&context, request, &response);
  if (!status.ok()) return client.Complain(status);
  PrintAnswer(response, arguments.Has("--json"));
  return kDone;
}

}  // namespace

int ShowStatus(SluiceClient& client, const Arguments& arguments) {
  constexpr auto kBetween = std::chrono::milliseconds(500);
  v1::GetInfoResponse before, now;
  v1::ListServicesResponse services;
  grpc::Status status = Info(client, before);
  const auto begin = std::chrono::steady_clock::now();
  if (status.ok() && !arguments.Has("--json")) std::this_thread::sleep_for(kBetween);
  if (status.ok()) status = Info(client, now);
  const std::chrono::duration<double> between = std::chrono::steady_clock::now() - begin;
  if (status.ok()) status = Services(client, services);
  if (!status.ok()) return client.Complain(status);
  if (arguments.Has("--json")) {
    PrintJson(now);
  } else {
    std::fputs(StatusText(before, now, between.count(), services).c_str(), stdout);
  }
  return kDone;
}

int ShowStats(SluiceClient& client, const Arguments& arguments) {
  int top = 20;
  if (!absl::SimpleAtoi(arguments.Value("--top", "20"), &top) || top < 1)
    return WrongUse(absl::StrCat("--top ", arguments.Value("--top"), ": must be 1 or more"));
  int rounds = 1;
  if (arguments.Has("--watch") && !absl::SimpleAtoi(arguments.Value("--rounds", "1000000000"), &rounds))
    return WrongUse(absl::StrCat("--rounds ", arguments.Value("--rounds"), ": must be a number"));
  grpc::ClientContext context;
  const auto reader = client.stub().WatchStatistics(&context, {});
  v1::ListServicesResponse services;
  for (int round = 1; reader->Read(&services); ++round) {
    if (arguments.Has("--json")) {
      PrintJson(services);
    } else {
      if (arguments.Has("--watch") && isatty(STDOUT_FILENO)) std::fputs("\033[H\033[J", stdout);
      std::fputs(StatsText(services, top).c_str(), stdout);
      std::fflush(stdout);
    }
    if (round == rounds) return context.TryCancel(), kDone;
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? kDone : client.Complain(status);
}

int GetConfig(SluiceClient& client, const Arguments&) {
  grpc::ClientContext context;
  v1::GetConfigResponse response;
  const grpc::Status status = client.stub().GetConfig(&context, {}, &response);
  if (!status.ok()) return client.Complain(status);
  PrintJson(response.config());
  return kDone;
}

int ApplyConfig(SluiceClient& client, const Arguments& arguments, bool only_tell) {
  if (arguments.Value("--file").empty()) return WrongUse("-f FILE or -f FOLDER is missing");
  v1::ApplyRequest request;
  v1::Owner owner;
  if (!ParseOwner(arguments.Value("--owner", "file"), owner))
    return WrongUse(absl::StrCat("--owner ", arguments.Value("--owner"), ": must be file or cli"));
  request.set_owner(owner);
  request.set_dry_run(only_tell);
  const absl::StatusOr<ConfigSet> set = ConfigSet::Read(arguments.Value("--file"));
  if (!set.ok()) {
    std::fprintf(stderr, "%s\n", std::string(set.status().message()).c_str());
    return kWrongUse;
  }
  *request.add_changes()->mutable_replace_owned()->mutable_config() = set->config();
  grpc::ClientContext context;
  v1::ApplyResponse response;
  const grpc::Status status = client.stub().Apply(&context, request, &response);
  v1::Refusals refusals;
  if (!status.ok() && refusals.ParseFromString(status.error_details()) && refusals.refusals_size() > 0) {
    std::fputs(set->Explain(refusals).c_str(), stderr);
    return kRefused;
  }
  if (!status.ok()) return client.Complain(status);
  PrintAnswer(response, arguments.Has("--json"));
  return only_tell && response.changed_size() > 0 ? kDiffers : kDone;
}

int Drain(SluiceClient& client, const Arguments& arguments) {
  if (arguments.Has("--node")) {
    if (!arguments.rest.empty()) return WrongUse("drain --node: this node, or a real server?");
    return DrainNode(client, arguments);
  }
  if (arguments.Has("--undo"))
    return WrongUse("--undo is for drain --node; a real server comes back by --weight N");
  return DrainServer(client, arguments);
}

}  // namespace sluice
