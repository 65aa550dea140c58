// Tells the owners of Services, as Events, what is wrong with them: all nodes together one Event. Never in
// anybody's way: what cannot be told soon is dropped.
// Threads: has one of its own; Report may be called by any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "control/kubernetes/api_client.h"
#include "control/kubernetes/event_filter.h"
#include "control/kubernetes/objects.h"
#include "control/mutex.h"

namespace sluice::kubernetes {

class EventReporter {
 public:
  EventReporter(const ApiAccess& access, const std::string& node_name)
      : node_name_(node_name), client_(access), thread_([this] { Run(); }) {}
  ~EventReporter();

  // `reason`: one word, of those that live as long as the program.
  void Report(const ObjectName& service, const std::string& uid, const char* reason, const std::string& what);

 private:
  struct Event {
    ObjectName service;
    std::string uid;
    const char* reason;
    std::string what;
  };
  static constexpr size_t kMost = 1000;

  void Run();
  std::string BodyOf(const Event& event) const;

  const std::string node_name_;
  ApiClient client_;
  Mutex mutex_;
  EventFilter filter_ ABSL_GUARDED_BY(mutex_);
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace sluice::kubernetes
