// The whole pipeline against random configurations and packets, with invariants as its oracle (invariants.h).
//   pipeline_fuzz SECONDS [SEED]     lives from this seed on (none: a random one), until the time is over
//   pipeline_fuzz --life SEED        one life: what the line of a failure says
//   pipeline_fuzz --corpus FILE      the lives of a file, a seed in each line, perhaps with a comment behind
//   # pipeline_fuzz --survey SECONDS [SEED]   goes on after failures; in the end tells of each invariant once
// In front of these, --except INVARIANT[,INVARIANT...]: what is known and to be looked past.
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include "tests/fuzz/pipeline_fuzz/life.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/common_interface_defs.h>
#define SLUICE_FUZZ_SANITIZED
#endif
#endif

namespace sluice::fuzz {
namespace {

char g_replay[64] = "";

void SayHowToReplay() {
  const ssize_t written = write(STDERR_FILENO, g_replay, std::strlen(g_replay));
  (void)written;
}

void CatchCrashes() {
#ifdef SLUICE_FUZZ_SANITIZED
  __sanitizer_set_death_callback(SayHowToReplay);
  const int signals[] = {SIGABRT};
#else
  const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
#endif
  for (const int number : signals) {
    signal(number, [](int caught) {
      SayHowToReplay();
      signal(caught, SIG_DFL);
      raise(caught);
    });
  }
}

struct Totals {
  std::set<std::string> known;  // what is looked past
  uint64_t lives = 0;
  uint64_t packets = 0;
  struct Finding {
    uint64_t times = 0;
    uint32_t seed = 0;
    std::string seen;
  };
  std::map<std::string, Finding> findings;  // by invariant
};

// False: something was wrong.
bool Live(uint32_t seed, Totals& totals) {
  std::snprintf(g_replay, sizeof g_replay, "replay: pipeline_fuzz --life %u\n", seed);
  Life life(seed, totals.known);
  life.Run();
  ++totals.lives;
  totals.packets += life.packets();
  for (const Complaint& each : life.complaints().all()) {
    Totals::Finding& finding = totals.findings[each.invariant];
    if (finding.times++ == 0) finding = {1, seed, each.seen};
  }
  return life.complaints().empty();
}

int Report(const Totals& totals) {
  std::printf("%lu lives, %lu packets\n", totals.lives, totals.packets);
  for (const auto& [invariant, finding] : totals.findings) {
    std::printf("broken: %s, %lu times; %s\nreplay: pipeline_fuzz --life %u\n", invariant.c_str(),
                finding.times, finding.seen.c_str(), finding.seed);
  }
  return totals.findings.empty() ? 0 : 1;
}

int LiveFor(Totals totals, int seconds, uint32_t seed, bool survey) {
  std::printf("seed %u\n", seed);
  std::fflush(stdout);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (!Live(seed++, totals) && !survey) break;
  }
  return Report(totals);
}

int LiveCorpus(Totals totals, const char* path) {
  std::ifstream file(path);
  if (!file) return std::perror(path), 2;
  for (std::string line; std::getline(file, line);) {
    char* end = nullptr;
    const unsigned long seed = std::strtoul(line.c_str(), &end, 10);
    if (end != line.c_str()) Live(static_cast<uint32_t>(seed), totals);
  }
  return Report(totals);
}

int Main(int argc, char** argv) {
  CatchCrashes();
  Totals totals;
  if (argc > 2 && std::strcmp(argv[1], "--except") == 0) {
    std::istringstream names(argv[2]);
    for (std::string name; std::getline(names, name, ',');) totals.known.insert(name);
    argc -= 2;
    argv += 2;
  }
  const auto number = [&](int at) { return static_cast<uint32_t>(std::strtoul(argv[at], nullptr, 10)); };
  const std::string first = argc > 1 ? argv[1] : "";
  if (first == "--life" && argc == 3) {
    Live(number(2), totals);
    return Report(totals);
  }
  if (first == "--corpus" && argc == 3) return LiveCorpus(totals, argv[2]);
  const bool survey = first == "--survey";
  const int at = survey ? 2 : 1;
  if (argc == at + 1 || argc == at + 2)
    return LiveFor(totals, std::atoi(argv[at]), argc == at + 2 ? number(at + 1) : std::random_device()(),
                   survey);
  std::fprintf(stderr, "pipeline_fuzz [--survey] SECONDS [SEED] | --life SEED | --corpus FILE\n");
  return 2;
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) { return sluice::fuzz::Main(argc, argv); }
