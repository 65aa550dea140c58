// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/process_metrics.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "control/metrics/metric_value.h"

namespace sluice {
namespace {

double CpuSeconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

struct Pages {
  uint64_t all = 0;
  uint64_t resident = 0;
};

Pages ReadPages() {
  Pages pages;
  std::ifstream("/proc/self/statm") >> pages.all >> pages.resident;
  return pages;
}

// /proc/self is as old as the process.
int64_t StartTime() {
  struct stat self {};
  return stat("/proc/self", &self) == 0 ? self.st_ctim.tv_sec : 0;
}

int64_t OpenFiles() {
  std::error_code ignored;
  const std::filesystem::directory_iterator files("/proc/self/fd", ignored);
  return std::distance(begin(files), end(files));
}

}  // namespace

std::string ProcessMetrics() {
  std::string page;
  const auto one = [&](const char* name, const char* type, const char* help, auto value) {
    absl::StrAppend(&page, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n", name, " ",
                    MetricValue(value), "\n");
  };
  const Pages pages = ReadPages();
  const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  one("process_cpu_seconds_total", "counter", "Time that all threads have worked.", CpuSeconds());
  one("process_resident_memory_bytes", "gauge", "Memory that is in use.", pages.resident * page_bytes);
  one("process_virtual_memory_bytes", "gauge", "Addresses that are in use.", pages.all * page_bytes);
  one("process_open_fds", "gauge", "Files and sockets that are open.", OpenFiles());
  one("process_start_time_seconds", "gauge", "When it was started, in seconds since 1970.", StartTime());
  return page;
}

}  // namespace sluice
