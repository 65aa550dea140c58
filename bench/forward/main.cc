// bench/run forward: Sluice, the straw men and the bare generator forward the same traffic in turns, on the
// same core, over the same devices in memory; prints what each did in every round, as JSON.
// SPDX-License-Identifier: Apache-2.0
#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/forward/balancer.h"
#include "bench/forward/crew.h"
#include "bench/forward/devices.h"
#include "bench/forward/referee.h"
#include "bench/forward/soak.h"
#include "bench/limit/own_table.h"
#include "bench/limit/rte_hash_table.h"
#include "bench/limit/straw_man.h"
#include "dataplane/runtime/eal.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

using Seconds = std::chrono::duration<double>;

struct Options {
  TrafficOptions traffic;
  BalancerOptions balancer;
  enum class HandOver { kNo, kYes, kBeside };
  // Whether every packet comes to another worker than its flow's: never, always, in turns of their own.
  HandOver hand_over = HandOver::kNo;
  double seconds = 1;
  double warm_up = 0.8;
  int rounds = 5;
  double soak_seconds = 0;  // instead of turns
  bool sync = false;        // workers tell of their connections, in turns of their own
  int changes = 0;          // of the configuration, a second, during Sluice's turns
  bool alone = false;       // Sluice only, for a profile
  uint32_t capacity = 0;    // connections per worker; 0: twice the flows, more if there are new ones
};

int Fail(const std::string& text) { return std::fprintf(stderr, "forward_bench: %s\n", text.c_str()), 1; }

bool ParseOptions(int argc, char** argv, Options& options) {
  TrafficOptions& traffic = options.traffic;
  BalancerOptions& balancer = options.balancer;
  const auto number = [](auto& to) {
    return [&to](const std::string& value) { return absl::SimpleAtoi(value, &to); };
  };
  const auto share = [](double& to) {
    return [&to](const std::string& value) { return absl::SimpleAtod(value, &to) && to >= 0 && to <= 1; };
  };
  const std::map<std::string, std::function<bool(const std::string&)>> setters = {
      {"--flows", number(traffic.flows)},
      {"--services", number(traffic.services)},
      {"--new", share(traffic.fresh)},
      {"--answers", share(traffic.answers)},
      {"--fragments", share(traffic.fragments)},
      {"--workers", number(balancer.workers)},
      {"--connections", number(options.capacity)},
      {"--rounds", number(options.rounds)},
      {"--warm-up", [&](const std::string& value) { return absl::SimpleAtod(value, &options.warm_up); }},
      {"--seconds", [&](const std::string& value) { return absl::SimpleAtod(value, &options.seconds); }},
      {"--soak", [&](const std::string& value) { return absl::SimpleAtod(value, &options.soak_seconds); }},
      {"--changes", number(options.changes)},
      {"--alone", [&](const std::string& value) { return options.alone = value == "yes", true; }},
      {"--sync", [&](const std::string& value) { return options.sync = value == "yes", true; }},
      {"--backlog", [&](const std::string& value) { return traffic.backlog = value == "yes", true; }},
      {"--to", [&](const std::string& value) { return traffic.to_last = value == "last", true; }},
      {"--hand-over",
       [&](const std::string& value) {
         using enum Options::HandOver;
         options.hand_over = value == "yes" ? kYes : value == "beside" ? kBeside : kNo;
         return true;
       }},
      {"--family", [&](const std::string& value) { return traffic.v6 = value == "6", true; }},
      {"--protocol",
       [&](const std::string& value) {
         traffic.protocol = value == "tcp" ? Protocol::kTcp : Protocol::kUdp;
         return value == "tcp" || value == "udp";
       }},
      {"--method", [&](const std::string& value) { return balancer.method = value, true; }},
      {"--scheduler", [&](const std::string& value) { return balancer.scheduler = value, true; }},
  };
  for (int i = 1; i + 1 < argc; i += 2) {
    const auto setter = setters.find(argv[i]);
    if (setter == setters.end() || !setter->second(argv[i + 1])) return false;
  }
  if (argc % 2 == 0 || traffic.flows == 0 || (traffic.flows & (traffic.flows - 1)) != 0) return false;
  if (balancer.workers < 1 || (options.hand_over != Options::HandOver::kNo && balancer.workers < 2))
    return false;
  balancer.connections = options.capacity != 0 ? options.capacity : traffic.flows * 2;
  if (traffic.fresh > 0) {
    // They shall expire while it lasts, and the others shall not between two packets.
    balancer.udp_seconds = traffic.flows > (1u << 22) ? 2 : 1;
    if (options.capacity == 0) balancer.connections += 1u << 22;
  }
  return true;
}

// What source and sink cost.
class GeneratorAlone : public Contender {
 public:
  GeneratorAlone(const Devices& devices) : devices_(devices) {}
  const char* name() const override { return "generator"; }
  void GetReady() override { stop_.store(false); }
  void Stop() override { stop_.store(true); }
  void Run(int worker) override {
    const uint16_t queue = QueueOf(worker);
    rte_mbuf* packets[kBurst];
    while (!stop_.load(std::memory_order_relaxed)) {
      const uint16_t count = rte_eth_rx_burst(devices_.receive(), queue, packets, kBurst);
      rte_eth_tx_burst(devices_.transmit(), queue, packets, count);
    }
  }

 private:
  const Devices& devices_;
  std::atomic<bool> stop_{false};
};

template <template <class> class Table, class Address>
std::unique_ptr<Contender> MakeStrawMan(const char* name, const Options& options, const Devices& devices,
                                        const Traffic& traffic) {
  using Man = StrawMan<Table, Address>;
  typename Man::Setup setup{.receive = devices.receive(),
                            .transmit = devices.transmit(),
                            .workers = options.balancer.workers,
                            .capacity = options.balancer.connections / (options.traffic.fresh > 0 ? 2 : 1),
                            .source = kMacOfSluice,
                            .next_hop = kMacOfServer,
                            .service = traffic.ServiceAt(0),
                            .service_port = Traffic::kServicePort,
                            .server_port = Traffic::kServerPort};
  for (int i = 0; i < kBenchServers; ++i) setup.servers[i] = traffic.ServerAt(i);
  return std::make_unique<Man>(name, setup);
}

// With each of the two tables.
template <class Address>
std::vector<std::unique_ptr<Contender>> MakeStrawMen(const Options& options, const Devices& devices,
                                                     const Traffic& traffic) {
  std::vector<std::unique_ptr<Contender>> men;
  men.push_back(MakeStrawMan<OwnTable, Address>("straw man", options, devices, traffic));
  men.push_back(MakeStrawMan<RteHashTable, Address>("straw man on rte_hash", options, devices, traffic));
  return men;
}

struct Turn {
  double seconds = 0;
  uint64_t packets = 0;
  uint64_t fresh = 0;
  uint64_t ticks = 0;
  std::map<std::string, uint64_t> counts;
};

// So many changes a second. Those that become due while some are on their way go together, as sluiced does
// it.
struct Changes {
  int rate = 0;
  std::function<void(uint32_t count)> make;
};

// Sleeps for so long, but for changes; how many there were.
uint64_t LetPass(double seconds, const Changes& changes) {
  if (changes.rate == 0) {
    std::this_thread::sleep_for(Seconds(seconds));
    return 0;
  }
  const auto begin = std::chrono::steady_clock::now();
  uint64_t made = 0;
  for (double passed = 0; passed < seconds;
       passed = Seconds(std::chrono::steady_clock::now() - begin).count()) {
    const auto due = static_cast<uint64_t>(passed * changes.rate);
    if (due > made) changes.make(static_cast<uint32_t>(due - made));
    made = due;
    std::this_thread::sleep_until(begin + std::chrono::duration_cast<std::chrono::nanoseconds>(
                                              Seconds(static_cast<double>(made + 1) / changes.rate)));
  }
  return made;
}

// Connections may have expired while others had their turns: all are opened again before anything counts.
void Settle(const std::vector<std::unique_ptr<Source>>& sources) {
  std::vector<double> before;
  for (const auto& source : sources) before.push_back(source->Periods());
  constexpr double kPeriods = 3;  // in each of which some give way to new ones
  constexpr int kMostRounds = 10;
  for (int round = 0; round < kMostRounds; ++round) {
    std::this_thread::sleep_for(Seconds(0.2));
    bool all = true;
    for (size_t i = 0; i < sources.size(); ++i) {
      const double passed = sources[i]->Periods() - before[i];
      all &= passed == 0 || passed >= kPeriods;  // 0: all packets are new
    }
    if (all) return;
  }
}

Turn TakeTurn(Contender& contender, const std::vector<std::unique_ptr<Source>>& sources, double seconds,
              const Changes& changes = {}) {
  const Crew crew(contender, sources.size());
  Settle(sources);
  Turn turn;
  const auto count = [&](uint64_t sign) {
    for (const auto& source : sources) {
      turn.packets += sign * source->counts().packets.load(std::memory_order_relaxed);
      turn.fresh += sign * source->counts().fresh.load(std::memory_order_relaxed);
    }
    for (const auto& [name, value] : contender.Counts()) turn.counts[name] += sign * value;
  };
  constexpr uint64_t kMinus = ~uint64_t{0};
  const auto begin = std::chrono::steady_clock::now();
  const uint64_t begin_ticks = rte_rdtsc();
  count(kMinus);
  const uint64_t changed = LetPass(seconds, changes);
  count(1);
  turn.counts["changes"] = changed;
  turn.ticks = rte_rdtsc() - begin_ticks;
  turn.seconds = Seconds(std::chrono::steady_clock::now() - begin).count();
  return turn;
}

// The first turns open the straw men's flows. They are not counted, but looked at. False: it has said what is
// wrong.
bool WarmUp(Contender& contender, bool translates, const Options& options, const Traffic& traffic,
            Devices& devices, const std::vector<std::unique_ptr<Source>>& sources) {
  const TrafficOptions& offered = options.traffic;
  const bool looks = translates && offered.fragments == 0;
  Referee referee(traffic);
  devices.Show(looks ? &referee : nullptr);
  constexpr int kMostTurns = 20;
  for (int i = 0; i < kMostTurns; ++i) {
    Turn turn = TakeTurn(contender, sources, options.warm_up);
    if (offered.fresh > 0 || turn.counts["connections_created"] < turn.packets / 1000) break;
  }
  devices.Show(nullptr);
  // It does not look at answers and SYNs.
  const double others = offered.answers + (offered.protocol == Protocol::kTcp ? offered.fresh : 0);
  if (!looks || others >= 1) return true;
  if (referee.seen() > 0 && referee.wrong() == 0) return true;
  Fail(absl::StrCat(contender.name(), " sent ", referee.seen(), " packets of clients; ", referee.wrong(),
                    " of them are not what NAT makes of them"));
  return false;
}

void Print(const char* contender, const Turn& turn, int round) {
  std::vector<std::string> counts;
  for (const auto& [name, value] : turn.counts) {
    if (value != 0) counts.push_back(absl::StrCat("\"", name, "\": ", value));
  }
  std::printf(
      "{\"round\": %d, \"name\": \"%s\", \"seconds\": %.6f, \"packets\": %lu, \"new\": %lu, \"ticks\": %lu, "
      "\"counts\": {%s}}\n",
      round, contender, turn.seconds, turn.packets, turn.fresh, turn.ticks,
      absl::StrJoin(counts, ", ").c_str());
  std::fflush(stdout);
}

// Of DPDK's own memory: packet buffers, and rte_hash's keys and buckets.
int MegabytesFor(const Options& options) {
  const uint64_t bytes_per_flow = options.traffic.v6 ? 320 : 160;
  return static_cast<int>(
      512 + (options.traffic.flows * bytes_per_flow * static_cast<uint64_t>(options.balancer.workers) >> 20));
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, options))
    return Fail("wrong use; bench/run forward --help tells the right one");
  const std::vector<int> cpus = AllowedCpus();
  const auto workers = static_cast<size_t>(options.balancer.workers);
  if (workers > cpus.size()) return Fail("--workers: more than this machine has CPUs");
  const absl::Status started =
      StartEal({.worker_cpus = {cpus.rbegin(), cpus.rbegin() + options.balancer.workers},
                .megabytes = MegabytesFor(options)});
  if (!started.ok()) return Fail(std::string(started.message()));
  Devices devices;
  if (!devices.Open(options.balancer.workers))
    return Fail("no devices in memory: is DPDK's net_null installed?");

  Traffic traffic(options.traffic);
  const uint64_t before = ResidentBytes();
  Balancer balancer(options.balancer, traffic, devices.receive(), devices.transmit());
  if (!balancer.OpenFlows(traffic, devices.pool())) return Fail("not every flow was opened");
  const uint64_t bytes = ResidentBytes() - before;

  std::vector<std::unique_ptr<Source>> sources;
  for (size_t i = 0; i < workers; ++i) {
    const auto owner = static_cast<int>(i);
    sources.push_back(std::make_unique<Source>(traffic, balancer.FlowsOf(traffic, owner), balancer.owners(),
                                               static_cast<uint32_t>(owner)));
  }
  const auto feed = [&](bool hand_over) {
    for (size_t i = 0; i < workers; ++i) devices.Feed(*sources[hand_over ? (i + 1) % workers : i], i);
  };
  feed(options.hand_over == Options::HandOver::kYes);
  if (options.hand_over != Options::HandOver::kNo) {
    for (size_t i = 0; i < workers; ++i) sources[i]->KeepInStepWith(*sources[(i + 1) % workers]);
  }
  if (options.soak_seconds > 0) {
    Soak(balancer, traffic, sources, options.soak_seconds);
    return 0;
  }
  GeneratorAlone generator(devices);
  std::vector<Contender*> contenders = {&balancer};
  if (!options.alone) contenders.insert(contenders.begin(), &generator);
  std::vector<std::unique_ptr<Contender>> straw_men;
  const TrafficOptions& offered = options.traffic;
  if (!options.alone && offered.fragments == 0) {
    straw_men = offered.v6 ? MakeStrawMen<Ipv6Address>(options, devices, traffic)
                           : MakeStrawMen<Be32>(options, devices, traffic);
    for (const auto& man : straw_men) contenders.push_back(man.get());
  }
  std::printf("{\"bytes\": %lu, \"connections\": %u, \"hertz\": %lu}\n", bytes,
              options.balancer.connections * static_cast<uint32_t>(workers), rte_get_tsc_hz());
  for (Contender* contender : contenders) {
    const bool translates =
        contender == &balancer ? options.balancer.method == "nat" : contender != &generator;
    if (!WarmUp(*contender, translates, options, traffic, devices, sources)) return 1;
  }
  uint32_t changed = 0;
  for (int round = 0; round < options.rounds; ++round) {
    for (Contender* contender : contenders) {
      Print(contender->name(), TakeTurn(*contender, sources, options.seconds), round);
      if (contender != &balancer) continue;
      if (options.hand_over == Options::HandOver::kBeside) {
        feed(true);
        Print("sluice, handing over", TakeTurn(balancer, sources, options.seconds), round);
        feed(false);
      }
      if (options.sync) {
        // Every flow is told of whenever the timer wheel comes by: with new ones among them every second.
        balancer.SetSync({.seconds = 1, .which = SyncPolicy::Which::kLong});
        uint64_t told = 0;
        const Changes takes = {200, [&](uint32_t) { told += balancer.TakeUpdates(); }};
        Turn turn = TakeTurn(balancer, sources, options.seconds, takes);
        turn.counts["told"] = told;
        Print("sluice, while it tells", turn, round);
        balancer.SetSync({});
      }
      if (options.changes == 0) continue;
      const Changes changes = {options.changes, [&](uint32_t count) {
                                 balancer.ChangeWeights(traffic, changed, count);
                                 changed += count;
                               }};
      Print("sluice, while it changes", TakeTurn(balancer, sources, options.seconds, changes), round);
    }
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) { return sluice::Main(argc, argv); }
