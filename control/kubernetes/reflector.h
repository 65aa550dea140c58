// Keeps the cluster's objects of one kind as the API server has them: lists them, watches what changes, and does
// either again when the other end is gone, behind, or busy.
// Threads: has one of its own; the member functions may be called by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include "control/kubernetes/api_client.h"
#include "control/kubernetes/cluster.h"

namespace sluice::kubernetes {

// Where the objects are.
struct Collection {
  std::string path;      // "/api/v1/services"
  std::string selector;  // of labels; empty: all
  std::string fields;    // the same of fields; a server that does not know them is asked without
};

// Of one kind, for metrics.
struct ReflectorCounts {
  std::atomic<uint64_t> lists{0};
  std::atomic<uint64_t> watches{0};
  std::atomic<uint64_t> events{0};
  std::atomic<uint64_t> errors{0};
};

// How long to wait before the next try: longer each time, and never as long as others wait.
class Backoff {
 public:
  std::chrono::milliseconds Next();
  void Reset() { delay_ = kFirst; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kFirst{800}, kLongest{30'000};
  static constexpr std::chrono::minutes kForgotten{2};
  std::chrono::milliseconds delay_ = kFirst;
  Clock::time_point last_{};
  std::minstd_rand random_{std::random_device{}()};
};

template <class Object>
class Reflector {
 public:
  Reflector(const ApiAccess& access, Collection collection, Cluster& cluster)
      : collection_(std::move(collection)), cluster_(cluster), client_(access), thread_([this] { Run(); }) {}
  ~Reflector() {
    client_.Stop();
    thread_.join();
  }
  const ReflectorCounts& counts() const { return counts_; }

 private:
  enum class Outcome {
    kGoOn,        // the watch ended: watch again from where it was
    kListAgain,   // what it would go on from is too old
    kListNewest,  // the server does not know that version yet
    kTryLater,    // it was refused, or failed
  };

  void Run();
  Outcome List();
  Outcome Watch();
  // One event of a watch; false: it must end, with `outcome_`.
  bool Take(std::string_view line);
  Outcome Refused(const ApiClient::Answer& answer, const char* what);
  // A plain watch from a version of the future is silent for ever.
  bool IsKnown();
  std::string Path() const;
  void Wait(std::chrono::milliseconds time);
  void Say(const std::string& what);

  const Collection collection_;
  Cluster& cluster_;
  ApiClient client_;
  ReflectorCounts counts_;
  // The thread's own.
  std::string version_;  // up to which everything is known
  bool wants_newest_ = false;
  bool uses_fields_ = true;
  Outcome outcome_ = Outcome::kGoOn;
  uint64_t events_of_watch_ = 0;
  int wait_seconds_ = -1;  // that the server asked for
  Backoff backoff_;
  std::string said_;
  std::minstd_rand random_{std::random_device{}()};
  std::thread thread_;
};

}  // namespace sluice::kubernetes
