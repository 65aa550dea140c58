// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "dataplane/runtime/captured_log.h"

namespace sluice {
namespace {

// The main lcore is the control thread, and threads made by it inherit its CPUs: all but the workers', unless
// there are no others.
std::string Lcores(const std::vector<int>& worker_cpus) {
  const std::vector<int> allowed = AllowedCpus();
  std::vector<int> others;
  std::copy_if(allowed.begin(), allowed.end(), std::back_inserter(others), [&](int cpu) {
    return std::find(worker_cpus.begin(), worker_cpus.end(), cpu) == worker_cpus.end();
  });
  std::string lcores = absl::StrCat("0@(", absl::StrJoin(others.empty() ? allowed : others, ","), ")");
  for (size_t i = 0; i < worker_cpus.size(); ++i) absl::StrAppend(&lcores, ",", i + 1, "@", worker_cpus[i]);
  return lcores;
}

bool NamesPciDevice(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument.rfind("-a", 0) == 0 || argument.rfind("--allow", 0) == 0) return true;
  }
  return false;
}

}  // namespace

absl::Status StartEal(const EalOptions& options) {
  std::vector<std::string> arguments = {"sluiced", "--no-telemetry", "--log-level=lib.eal:error",
                                        "--log-level=pmd:error",
                                        absl::StrCat("--lcores=", Lcores(options.worker_cpus))};
  if (options.hugepages) {
    arguments.push_back("--in-memory");
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf", "-m", absl::StrCat(options.megabytes)});
  }
  if (!NamesPciDevice(options.extra)) arguments.insert(arguments.end(), {"--no-pci", "--iova-mode=va"});
  arguments.insert(arguments.end(), options.extra.begin(), options.extra.end());
  // rte_eal_init keeps pointers into its arguments and reorders them.
  static std::vector<std::string> kept;
  static std::vector<char*> argv;
  kept = std::move(arguments);
  argv.clear();
  for (std::string& argument : kept) argv.push_back(argument.data());
  CapturedLog log;
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    return absl::FailedPreconditionError(absl::StrCat("DPDK does not start: ", log.Lines(), " (",
                                                      rte_strerror(rte_errno),
                                                      "); arguments: ", absl::StrJoin(kept, " ")));
  }
  return absl::OkStatus();
}

int FreeHugepageMegabytes() {
  long kilobytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", ignored)) {
    long pages = 0;
    long page_kilobytes = 0;
    std::ifstream(entry.path() / "free_hugepages") >> pages;
    std::sscanf(entry.path().filename().c_str(), "hugepages-%ldkB", &page_kilobytes);
    kilobytes += pages * page_kilobytes;
  }
  return static_cast<int>(kilobytes / 1024);
}

std::vector<int> AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace sluice
