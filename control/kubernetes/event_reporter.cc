// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/event_reporter.h"

#include <chrono>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "control/printable.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr size_t kLongestText = 1000;  // the API server refuses Events whose text is longer than 1024

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
  const MutexLock lock(mutex_);
  const std::optional<std::string> told = filter_.Pass(uid, reason, what, EventFilter::Clock::now());
  if (!told) return;
  const std::string text = Printable(*told, kLongestText);
  std::fprintf(stderr, "sluice-kube: service %s: %s\n", Printable(service.ToString(), kLongestText).c_str(),
               text.c_str());
  if (events_.size() == kMost) return;
  events_.push_back({service, uid, reason, text});
  mutex_.NotifyAll();
}

void EventReporter::Run() {
  while (true) {
    Event event;
    {
      const MutexLock lock(mutex_);
      while (events_.empty() && !stop_) mutex_.Wait();
      if (stop_) return;
      event = std::move(events_.front());
      events_.pop_front();
    }
    const ApiClient::Answer answer = client_.Post(
        absl::StrCat("/api/v1/namespaces/", event.service.name_space, "/events"), BodyOf(event), 10s);
    const bool another_node_told = answer.code == 409;
    if (answer.code / 100 != 2 && !another_node_told && !client_.is_stopped())
      std::fprintf(stderr, "sluice-kube: an Event for service %s: %s\n", event.service.ToString().c_str(),
                   answer.Describe().c_str());
  }
}

std::string EventReporter::BodyOf(const Event& event) const {
  const std::string now = absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone());
  return absl::StrCat(
      "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"namespace\":",
      Quoted(event.service.name_space),
      ",\"name\":", Quoted(EventName(event.service.name, event.uid, event.reason, event.what)),
      "},\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"namespace\":",
      Quoted(event.service.name_space), ",\"name\":", Quoted(event.service.name),
      ",\"uid\":", Quoted(event.uid), "},\"type\":\"Warning\",\"reason\":", Quoted(event.reason),
      ",\"message\":", Quoted(event.what),
      ",\"source\":{\"component\":\"sluice-kube\",\"host\":", Quoted(node_name_),
      "},\"count\":1,\"firstTimestamp\":\"", now, "\",\"lastTimestamp\":\"", now, "\"}");
}

}  // namespace sluice::kubernetes
