// The workers of a contender, at work on their lcores as long as it lives.
// Threads: the main thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_launch.h>

#include <vector>

#include "bench/forward/contender.h"

namespace sluice {

class Crew {
 public:
  Crew(Contender& contender, size_t workers) : contender_(contender) {
    for (size_t i = 0; i < workers; ++i) jobs_.push_back({&contender, static_cast<int>(i)});
    contender.GetReady();
    for (size_t i = 0; i < workers; ++i) rte_eal_remote_launch(Run, &jobs_[i], static_cast<unsigned>(i + 1));
  }
  ~Crew() {
    contender_.Stop();
    for (size_t i = 0; i < jobs_.size(); ++i) rte_eal_wait_lcore(static_cast<unsigned>(i + 1));
  }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

 private:
  struct Job {
    Contender* contender;
    int worker;
  };
  static int Run(void* job) {
    static_cast<Job*>(job)->contender->Run(static_cast<Job*>(job)->worker);
    return 0;
  }

  Contender& contender_;
  std::vector<Job> jobs_;
};

}  // namespace sluice
