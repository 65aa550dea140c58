// sluice-bench: measures a balancer on the wire, whichever it is; a client and a server.
// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>

#include <cstdio>

#include "bench/wire/options.h"
#include "bench/wire/server.h"
#include "bench/wire/tcp_client.h"
#include "bench/wire/udp_client.h"

namespace sluice {
namespace {

absl::StatusOr<Report> Run(const WireOptions& options) {
  if (options.is_server) return RunServer(options);
  return options.target.protocol == Protocol::kUdp ? RunUdpClient(options) : RunTcpClient(options);
}

int Main(const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    if (word == "-h" || word == "--help") return std::fputs(kWireUsage, stdout), 0;
  }
  const absl::StatusOr<WireOptions> options = ParseWireOptions(words);
  if (!options.ok()) {
    std::fprintf(stderr, "sluice-bench: %s\n\n%s", std::string(options.status().message()).c_str(),
                 kWireUsage);
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1);  // naps as short as they are meant
  const absl::StatusOr<Report> report = Run(*options);
  if (!report.ok()) {
    std::fprintf(stderr, "sluice-bench: %s\n", std::string(report.status().message()).c_str());
    return 1;
  }
  report->Print(options->json);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main({argv + 1, argv + argc}); }
