// Requests to the API server: lists, and watches that go on.
// Threads: one, but for Stop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "control/kubernetes/credentials.h"

namespace sluice::kubernetes {

class ApiClient {
 public:
  explicit ApiClient(const ApiAccess& access);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  struct Answer {
    long code = 0;      // HTTP's; 0: there was no answer
    std::string error;  // in words: why there was none, or why it ended
    std::string body;   // of a watch only if it was refused
    int retry_after_seconds = -1;

    bool ok() const { return code == 200 && error.empty(); }
    // For people.
    std::string Describe() const;
  };
  Answer Get(const std::string& path, std::chrono::seconds patience);
  Answer Post(const std::string& path, const std::string& body, std::chrono::seconds patience);
  // Calls `receive` with what comes, in parts as they come; it ends when that says false.
  Answer Watch(const std::string& path, const std::function<bool(std::string_view)>& receive);
  // Ends what is under way within a second or so, and whatever is asked later. Any thread.
  void Stop() { stop_.store(true); }
  bool is_stopped() const { return stop_.load(); }

 private:
  struct Transfer;
  Answer Do(const std::string& path, std::chrono::seconds patience, const std::string* body,
            const std::function<bool(std::string_view)>& receive);
  Answer DoOnce(const std::string& path, std::chrono::seconds patience, const std::string* body,
                const std::function<bool(std::string_view)>& receive);

  const ApiAccess access_;
  CredentialSource credentials_;
  void* curl_ = nullptr;
  size_t server_ = 0;  // which of several is asked
  std::atomic<bool> stop_{false};
};

// "a=b%2Cc".
std::string Query(std::string_view name, std::string_view value);

}  // namespace sluice::kubernetes
