// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/other_writer.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr const char* kWriters[] = {"kube-proxy", "keepalived", "ldirectord", "kube-router", "surealived"};
constexpr std::pair<const char*, const char*> kInterfaces[] = {{"kube-ipvs0", "kube-proxy"},
                                                               {"kube-dummy-if", "kube-router"}};

}  // namespace

std::string OtherWriter(const std::string& root) {
  std::error_code error;
  for (std::filesystem::directory_iterator at(root + "/proc", error), end; !error && at != end;
       at.increment(error)) {
    std::string name;
    std::ifstream comm(at->path() / "comm");
    if (!std::getline(comm, name)) continue;
    if (std::find(std::begin(kWriters), std::end(kWriters), name) != std::end(kWriters))
      return absl::StrCat(name, " (process ", at->path().filename().string(), ")");
  }
  for (const auto& [interface, writer] : kInterfaces) {
    if (std::filesystem::exists(absl::StrCat(root, "/sys/class/net/", interface), error))
      return absl::StrCat(writer, " (by its interface ", interface, ")");
  }
  return "somebody else";
}

}  // namespace sluice
