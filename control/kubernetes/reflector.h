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
#include "control/kubernetes/backoff.h"
#include "control/kubernetes/cluster.h"
#include "control/kubernetes/objects.h"

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
  std::atomic<uint64_t> refused{0};  // objects left out: what they say breaks the API's rules
};

template <class Object>
class Reflector {
 public:
  // `silence`: of a watch, before it is taken up again on another connection.
  Reflector(const ApiAccess& access, Collection collection, Cluster& cluster,
            std::chrono::seconds silence = std::chrono::seconds(25))
      : collection_(std::move(collection)),
        cluster_(cluster),
        silence_(silence),
        client_(access),
        thread_([this] { Run(); }) {}
  ~Reflector() {
    client_.Stop();
    thread_.join();
  }
  // Begins to end; several end together.
  void Stop() { client_.Stop(); }
  const ReflectorCounts& counts() const { return counts_; }

 private:
  enum class Outcome {
    kDone,   // the list is complete, or the watch has ended as watches do: a watch comes next, at once
    kAgain,  // it failed: the same again, after a pause
    kList,   // what a watch would go on from is of no use: a list comes next, after a pause
  };

  void Run();
  Outcome List();
  // One page of a list; `kDone`: it is in `list`.
  struct Listing;
  Outcome ListPage(Listing& list);
  Outcome Adopt(Listing& list);
  Outcome Watch();
  // How a watch that nobody refused has ended.
  Outcome WatchEnded(const ApiClient::Answer& answer, std::chrono::steady_clock::duration lived);
  // One event of a watch; false: it must end, with `outcome_`.
  bool Take(std::string_view line);
  bool TakeFault(std::string_view line, const std::string& type, const std::string& what);
  bool TakeError(const ApiStatus& status);
  Outcome Refused(const ApiClient::Answer& answer, const char* what);
  Outcome Failed(Outcome outcome, const std::string& what);
  void RefuseObject(const std::string& what);
  // A plain watch from a version of the future is silent for ever.
  bool IsKnown();
  std::string Path() const;
  std::chrono::milliseconds Pause();
  void Wait(std::chrono::milliseconds time);
  void Say(const std::string& what);

  const Collection collection_;
  Cluster& cluster_;
  const std::chrono::seconds silence_;
  ApiClient client_;
  ReflectorCounts counts_;
  // The thread's own.
  std::string version_;        // up to which everything is known
  bool wants_newest_ = false;  // a list at any version that is known would be refused
  bool uses_pages_ = true;
  bool uses_fields_ = true;
  Outcome outcome_ = Outcome::kDone;
  uint64_t events_of_watch_ = 0;
  // The server had our version a moment ago, and nothing has broken since.
  std::chrono::steady_clock::time_point known_until_{};
  int retry_after_seconds_ = 0;  // that the server asked for; 0: it did not
  Backoff backoff_;
  std::string said_;
  std::chrono::steady_clock::time_point said_at_{};
  std::minstd_rand random_{std::random_device{}()};
  std::thread thread_;
};

}  // namespace sluice::kubernetes
