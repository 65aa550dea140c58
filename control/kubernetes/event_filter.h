// Which Events are told: each once in ten minutes, many of one kind combined, and of one Service a few at a
// time, as client-go's correlator does it.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace sluice::kubernetes {

class EventFilter {
 public:
  using Clock = std::chrono::steady_clock;

  // The message to tell; nothing: it was told, or the Service has had its share.
  std::optional<std::string> Pass(const std::string& uid, const std::string& reason,
                                  const std::string& message, Clock::time_point now);
  size_t size() const { return kinds_.size() + shares_.size(); }

 private:
  // Events of one Service with one reason.
  struct Kind {
    Clock::time_point since;
    std::set<std::string> messages;
    bool is_combined = false;
  };
  struct Share {
    double left = 0;
    Clock::time_point since;
  };
  bool TakeShare(const std::string& uid, Clock::time_point now);

  std::map<std::pair<std::string, std::string>, Kind> kinds_;
  std::map<std::string, Share> shares_;
};

// Names an Event by what it says, so that all nodes make the same one and the API server keeps one.
std::string EventName(const std::string& service, const std::string& uid, const std::string& reason,
                      const std::string& message);

}  // namespace sluice::kubernetes
