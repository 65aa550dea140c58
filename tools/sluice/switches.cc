// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/switches.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

using Count = unsigned long long;

grpc::Status AskRelease(SluiceClient& client, v1::ReleaseResponse& response) {
  grpc::ClientContext context;
  return client.stub().Release(&context, {}, &response);
}

grpc::Status AskTakeover(SluiceClient& client, const v1::TakeoverRequest& request, v1::TakeoverResponse& response) {
  grpc::ClientContext context;
  return client.stub().Takeover(&context, request, &response);
}

}  // namespace

int Release(SluiceClient& client, const Arguments& arguments) {
  v1::ReleaseResponse response;
  if (const grpc::Status status = AskRelease(client, response); !status.ok()) return client.Complain(status);
  if (arguments.Has("--json")) return PrintJson(response), kDone;
  std::printf("the kernel forwards, with %llu connections; it took %.1f ms\n",
              static_cast<Count>(response.connections() - response.full_nat_connections()),
              response.switched_ms());
  if (response.full_nat_connections() > 0)
    std::printf("%llu connections with full NAT are not there: they will break\n",
                static_cast<Count>(response.full_nat_connections()));
  return kDone;
}

int TakeOver(SluiceClient& client, const Arguments& arguments) {
  const std::string from = arguments.Value("--from");
  if (!from.empty() && from != "kernel-ipvs")
    return WrongUse(absl::StrCat("takeover --from ", from, ": must be kernel-ipvs"));
  v1::TakeoverRequest request;
  request.set_take_services(!from.empty());
  const std::string owner = arguments.Value("--owner");
  if (!owner.empty() && owner != "cli" && owner != "kubernetes")
    return WrongUse(absl::StrCat("takeover --owner ", owner, ": must be cli or kubernetes"));
  if (!owner.empty() && from.empty()) return WrongUse("takeover --owner: only with --from kernel-ipvs");
  request.set_owner(owner == "kubernetes" ? v1::KUBERNETES : v1::CLI);
  v1::TakeoverResponse response;
  if (const grpc::Status status = AskTakeover(client, request, response); !status.ok())
    return client.Complain(status);
  if (arguments.Has("--json")) return PrintJson(response), kDone;
  if (response.services() > 0)
    std::printf("%llu services are Sluice's now\n", static_cast<Count>(response.services()));
  std::printf(
      "Sluice forwards, with %llu connections that the kernel had opened and %llu that were known already\n",
      static_cast<Count>(response.adopted_connections()), static_cast<Count>(response.known_connections()));
  return kDone;
}

int Drill(SluiceClient& client, const Arguments& arguments) {
  absl::string_view text = arguments.values.contains("--revert-after")
                               ? absl::string_view(arguments.values.at("--revert-after").back())
                               : "5s";
  absl::ConsumeSuffix(&text, "s");
  double seconds = 0;
  if (!absl::SimpleAtod(text, &seconds) || seconds < 0 || seconds > 3600)
    return WrongUse("drill --revert-after: must be 0s..3600s");
  v1::ReleaseResponse released;
  if (const grpc::Status status = AskRelease(client, released); !status.ok()) return client.Complain(status);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  v1::TakeoverResponse taken;
  if (const grpc::Status status = AskTakeover(client, {}, taken); !status.ok())
    return client.Complain(status);
  if (arguments.Has("--json")) {
    PrintJson(released);
    PrintJson(taken);
    return kDone;
  }
  std::printf("%-44s %10llu\n", "connections before", static_cast<Count>(released.connections()));
  std::printf("%-44s %10llu\n", "of them with full NAT, which break",
              static_cast<Count>(released.full_nat_connections()));
  std::printf("%-44s %10llu\n", "that the kernel still had at the end",
              static_cast<Count>(taken.known_connections()));
  std::printf("%-44s %10llu\n", "that it had opened meanwhile",
              static_cast<Count>(taken.adopted_connections()));
  std::printf("%-44s %7.1f ms\n", "until the kernel forwarded", released.switched_ms());
  std::printf("%-44s %7.1f ms\n", "until Sluice did again", taken.switched_ms());
  return kDone;
}

}  // namespace sluice
