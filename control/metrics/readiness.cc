// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/readiness.h"

#include "absl/strings/str_cat.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

constexpr double kLongestSilence = 1.0;  // seconds; a worker that sleeps is woken every hundredth

}  // namespace

Verdict Liveness(const v1::GetInfoResponse& info) {
  if (info.worker_infos().empty()) return {false, "there are no workers\n"};
  for (int i = 0; i < info.worker_infos_size(); ++i) {
    const double silent = info.worker_infos(i).silent_seconds();
    if (!(silent <= kLongestSilence))
      return {false, absl::StrCat("worker ", i, " has been silent for ", silent, " seconds\n")};
  }
  return {true, "ok\n"};
}

Verdict Readiness(const v1::GetInfoResponse& info) {
  if (info.drained()) return {false, "this node is drained: sluice drain --node --undo ends it\n"};
  if (!info.kernel_mirror().steering() && !info.kernel_mirror().on())
    return {false,
            "packets are left to the kernel, whose IPVS does not have the services: sluice takeover\n"};
  bool serves = false;
  bool passes_by = false;
  std::string troubles;
  for (const v1::PortInfo& port : info.ports()) {
    serves |= port.attached() && port.link_up();
    passes_by |= !port.attached() && !port.gone();
    if (!port.trouble().empty()) absl::StrAppend(&troubles, port.trouble(), "\n");
    if (port.attached() && !port.link_up())
      absl::StrAppend(&troubles, "port ", port.name(), " has no link\n");
  }
  Verdict verdict = Liveness(info);
  if (verdict.is_good && (passes_by || !serves))
    verdict = {false, troubles.empty() ? "no port brings packets\n" : ""};
  verdict.text += troubles;
  return verdict;
}

}  // namespace sluice
