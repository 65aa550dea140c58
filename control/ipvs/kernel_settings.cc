// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/kernel_settings.h"

#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace sluice {
namespace {

// Connections through IPVS are in conntrack, so that they can be masqueraded; those of an endpoint that has
// gone end with the next packet, as do the ties of its clients to one that is terminating.
constexpr const char* kSettings[] = {"net/ipv4/vs/conntrack", "net/ipv4/vs/expire_nodest_conn",
                                     "net/ipv4/vs/expire_quiescent_template"};

bool IsMade(const std::string& path) {
  int value = 0;
  return (std::ifstream(path) >> value) && value == 1;
}

}  // namespace

absl::Status HaveKubernetesSettings(const std::string& root) {
  std::vector<std::string> unmade;
  for (const char* setting : kSettings) {
    const std::string path = absl::StrCat(root, "/", setting);
    if (IsMade(path)) continue;
    // Only what is there: a folder without the file is no setting's place.
    if (std::ifstream(path)) std::ofstream(path) << 1 << std::flush;
    if (!IsMade(path)) unmade.push_back(absl::StrCat(absl::StrReplaceAll(setting, {{"/", "."}}), "=1"));
  }
  if (unmade.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("Kubernetes needs settings that cannot be made here: on the host, sysctl -w ",
                   absl::StrJoin(unmade, " ")));
}

}  // namespace sluice
