// SPDX-License-Identifier: Apache-2.0
#include "bench/forward/soak.h"

#include <rte_cycles.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "bench/forward/crew.h"
#include "bench/histogram.h"

namespace sluice {
namespace {

constexpr auto kChangeEvery = std::chrono::milliseconds(10);

// On the worker's thread: how long a round of its loop takes, and how late its timers are.
struct RoundWatch {
  Histogram rounds;  // of this second and all before, in ticks
  std::atomic<uint32_t> most_lag{0};
  uint64_t last = 0;

  void Look(const Worker& worker) {
    const uint64_t now = rte_rdtsc();
    if (last != 0) rounds.Add(now - last);
    last = now;
    const uint32_t lag = worker.now - worker.wheel.LookedAtUntil();
    if (static_cast<int32_t>(lag) > static_cast<int32_t>(most_lag.load(std::memory_order_relaxed)))
      most_lag.store(lag, std::memory_order_relaxed);
  }
};

}  // namespace

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void Soak(Balancer& balancer, const Traffic& traffic, const std::vector<std::unique_ptr<Source>>& sources,
          double seconds) {
  std::vector<std::unique_ptr<RoundWatch>> watches;
  for (size_t i = 0; i < sources.size(); ++i) {
    watches.push_back(std::make_unique<RoundWatch>());
    Worker& worker = balancer.worker(static_cast<int>(i));
    sources[i]->SetWatch([watch = watches.back().get(), &worker] { watch->Look(worker); });
  }
  const Crew crew(balancer, sources.size());
  uint32_t changes = 0;
  Histogram change_times;  // in ticks
  const auto begin = std::chrono::steady_clock::now();
  const double microsecond = static_cast<double>(rte_get_tsc_hz()) / 1e6;
  for (int second = 1; second <= static_cast<int>(seconds); ++second) {
    double slowest_change = 0;
    while (std::chrono::steady_clock::now() < begin + std::chrono::seconds(second)) {
      const auto before = std::chrono::steady_clock::now();
      balancer.ChangeWeights(traffic, changes++, 1);
      const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
      slowest_change = std::max(slowest_change, took.count());
      change_times.Add(static_cast<uint64_t>(took.count() * 1000 * microsecond));
      std::this_thread::sleep_for(kChangeEvery);
    }
    uint32_t lag = 0;
    std::string rounds;
    for (const auto& watch : watches) {
      lag = std::max(lag, watch->most_lag.exchange(0, std::memory_order_relaxed));
      for (const auto& [name, share] :
           {std::pair("p50", 0.5), {"p99", 0.99}, {"p999", 0.999}, {"most", 1.0}}) {
        char text[64];
        std::snprintf(text, sizeof text, ", \"%s\": %.1f", name,
                      static_cast<double>(watch->rounds.Quantile(share)) / microsecond);
        rounds += text;
      }
    }
    std::printf(
        "{\"second\": %d, \"sent\": %lu, \"created\": %lu, \"evicted\": %lu, \"refused\": %lu, "
        "\"changes\": %u, \"change_p50_ms\": %.2f, \"change_p99_ms\": %.2f, \"slowest_change_ms\": %.2f, "
        "\"timer_lag_ms\": %u, \"resident\": %lu%s}\n",
        second, balancer.Count(Counter::kSent), balancer.Count(Counter::kConnectionsCreated),
        balancer.Evicted(), balancer.Count(Counter::kRefusedTableFull), changes,
        static_cast<double>(change_times.Quantile(0.5)) / microsecond / 1000,
        static_cast<double>(change_times.Quantile(0.99)) / microsecond / 1000, slowest_change, lag * 4,
        ResidentBytes(), rounds.c_str());
    std::fflush(stdout);
  }
}

}  // namespace sluice
