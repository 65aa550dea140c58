// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/inspect.h"

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tools/sluice/words.h"
#include "tools/sluiceadm/print.h"

namespace sluice {
namespace {

// How the client names an endpoint, as in "tcp 10.0.0.1:80".
std::string EndpointText(const std::string& address, uint32_t port) {
  const bool is_v6 = address.find(':') != std::string::npos;
  return absl::StrCat(is_v6 ? "[" : "", address, is_v6 ? "]:" : ":", port);
}

}  // namespace

int ListConnections(SluiceClient& client, const Arguments& arguments) {
  v1::ListConnectionsRequest request;
  std::string wrong;
  if (!arguments.rest.empty() && !ParseServiceWords(arguments.rest, *request.mutable_service(), wrong))
    return WrongUse(wrong);
  request.set_client_prefix(arguments.Value("--client"));
  request.set_destination(arguments.Value("--destination"));
  request.set_state(absl::AsciiStrToUpper(arguments.Value("--state")));
  grpc::ClientContext context;
  const auto reader = client.stub().ListConnections(&context, request);
  v1::ListConnectionsResponse response;
  if (!arguments.Has("--json")) std::fputs(ConnectionsTitle().c_str(), stdout);
  while (reader->Read(&response)) {
    if (arguments.Has("--json")) {
      PrintJson(response);
      continue;
    }
    for (const v1::Connection& connection : response.connections())
      std::fputs(PrintConnection(connection, true).c_str(), stdout);
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? kDone : client.Complain(status);
}

int FlushConnections(SluiceClient& client, const Arguments& arguments) {
  v1::FlushConnectionsRequest request;
  std::string wrong;
  if (!ParseServiceWords(arguments.rest, *request.mutable_service(), wrong)) return WrongUse(wrong);
  grpc::ClientContext context;
  v1::FlushConnectionsResponse response;
  const grpc::Status status = client.stub().FlushConnections(&context, request, &response);
  if (!status.ok()) return client.Complain(status);
  if (arguments.Has("--json")) return PrintJson(response), kDone;
  std::printf("%llu connections and %llu templates forgotten\n",
              static_cast<unsigned long long>(response.connections()),
              static_cast<unsigned long long>(response.templates()));
  return kDone;
}

int ExplainFlow(SluiceClient& client, const Arguments& arguments) {
  v1::ExplainRequest request;
  std::string wrong;
  if (!ParseFlowWords(arguments.rest, request, wrong)) return WrongUse(wrong);
  grpc::ClientContext context;
  v1::ExplainResponse response;
  const grpc::Status status = client.stub().Explain(&context, request, &response);
  if (!status.ok()) return client.Complain(status);
  if (arguments.Has("--json")) return PrintJson(response), kDone;
  for (int i = 0; i < response.steps_size(); ++i) {
    std::printf("%d. %s\n", i + 1, response.steps(i).c_str());
    if (!absl::StartsWith(response.steps(i), "scheduler ")) continue;
    for (const v1::ExplainResponse::Candidate& candidate : response.candidates()) {
      std::printf("   %s %-28s weight %u, %u active, %u inactive%s\n", candidate.chosen() ? "->" : "  ",
                  EndpointText(candidate.address(), candidate.port()).c_str(), candidate.weight(),
                  candidate.active_connections(), candidate.inactive_connections(),
                  candidate.accepts() ? "" : ", takes nothing new");
    }
  }
  std::string outcome = absl::AsciiStrToLower(v1::ExplainResponse::Outcome_Name(response.outcome()));
  for (char& letter : outcome) letter = letter == '_' ? ' ' : letter;
  std::printf("=> %s\n", outcome.c_str());
  return kDone;
}

int WatchConfig(SluiceClient& client, const Arguments& arguments) {
  v1::WatchConfigRequest request;
  uint64_t after = 0;
  int rounds = 0;
  if (!absl::SimpleAtoi(arguments.Value("--after", "0"), &after))
    return WrongUse(absl::StrCat("--after ", arguments.Value("--after"), ": must be a generation"));
  if (!absl::SimpleAtoi(arguments.Value("--rounds", "0"), &rounds) || rounds < 0)
    return WrongUse(absl::StrCat("--rounds ", arguments.Value("--rounds"), ": must be a number"));
  request.set_after_generation(after);
  grpc::ClientContext context;
  const auto reader = client.stub().WatchConfig(&context, request);
  v1::WatchConfigResponse response;
  for (int round = 1; reader->Read(&response); ++round) {
    if (arguments.Has("--json")) {
      PrintJson(response);
    } else {
      std::printf("configuration %llu%s", static_cast<unsigned long long>(response.diff().generation()),
                  response.whole() ? "" : ":\n");
      if (response.whole()) std::printf(", whole: %d services\n", response.diff().config().services_size());
      for (const std::string& line : response.changed()) std::printf("  %s\n", line.c_str());
    }
    std::fflush(stdout);
    if (round == rounds) return context.TryCancel(), kDone;
  }
  const grpc::Status status = reader->Finish();
  return status.ok() ? kDone : client.Complain(status);
}

}  // namespace sluice
