// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/event_reporter.h"

#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char each : text) {
    if (each == '"' || each == '\\') quoted.push_back('\\');
    if (static_cast<unsigned char>(each) >= 0x20) quoted.push_back(each);
  }
  return quoted + "\"";
}

}  // namespace

EventReporter::~EventReporter() {
  client_.Stop();
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    mutex_.NotifyAll();
  }
  thread_.join();
}

void EventReporter::Report(const ObjectName& service, const std::string& uid, const char* reason,
                           const std::string& what) {
  std::fprintf(stderr, "sluice-kube: service %s: %s\n", service.ToString().c_str(), what.c_str());
  const MutexLock lock(mutex_);
  if (events_.size() == kMost) return;
  events_.push_back({service, uid, reason, what});
  mutex_.NotifyAll();
}

void EventReporter::Run() {
  for (uint64_t number = 0;; ++number) {
    Event event;
    {
      const MutexLock lock(mutex_);
      while (events_.empty() && !stop_) mutex_.Wait();
      if (stop_) return;
      event = std::move(events_.front());
      events_.pop_front();
    }
    const ApiClient::Answer answer = client_.Post(
        absl::StrCat("/api/v1/namespaces/", event.service.name_space, "/events"), BodyOf(event, number), 10s);
    if (answer.code / 100 != 2 && !client_.is_stopped())
      std::fprintf(stderr, "sluice-kube: an Event for service %s: %s\n", event.service.ToString().c_str(),
                   answer.Describe().c_str());
  }
}

std::string EventReporter::BodyOf(const Event& event, uint64_t number) const {
  const std::string now = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  return absl::StrCat(
      "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"namespace\":",
      Quoted(event.service.name_space), ",\"name\":",
      Quoted(absl::StrCat(event.service.name, ".", absl::Hex(absl::ToUnixNanos(absl::Now())), number)),
      "},\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"namespace\":",
      Quoted(event.service.name_space), ",\"name\":", Quoted(event.service.name),
      ",\"uid\":", Quoted(event.uid), "},\"type\":\"Warning\",\"reason\":", Quoted(event.reason),
      ",\"message\":", Quoted(event.what),
      ",\"source\":{\"component\":\"sluice-kube\",\"host\":", Quoted(node_name_),
      "},\"count\":1,\"firstTimestamp\":\"", now, "\",\"lastTimestamp\":\"", now, "\"}");
}

}  // namespace sluice::kubernetes
