// Requests to the API server: lists, and watches that go on. No answer lasts or grows without end.
// Threads: one, but for Stop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "control/kubernetes/credentials.h"

namespace sluice::kubernetes {

// How long an answer may take.
struct Limits {
  std::chrono::seconds silence;  // without a byte
  std::chrono::seconds in_all;   // however steadily it drips
};

class ApiClient {
 public:
  // Gets an answer's parts as they arrive; the request ends when it says false.
  using Receive = std::function<bool(std::string_view)>;

  explicit ApiClient(const ApiAccess& access);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  struct Answer {
    long code = 0;           // HTTP's; 0: there was no answer
    std::string error;       // in words: why there was none, or why it ended
    std::string body;        // the beginning of what nobody received
    bool is_silent = false;  // it ended because nothing arrived any more
    int retry_after_seconds = -1;

    bool ok() const { return code == 200 && error.empty(); }
    // For people, whatever a server has written.
    std::string Describe() const;
  };
  // `receive` gets the body if the code is 200; without it the body is the answer's.
  Answer Get(const std::string& path, const Limits& limits, const Receive& receive = nullptr);
  Answer Post(const std::string& path, const std::string& body, std::chrono::seconds patience);
  // Ends what is under way, and whatever is asked later. Any thread.
  void Stop();
  bool is_stopped() const { return stop_.load(); }

 private:
  struct Transfer;
  Answer Do(const std::string& path, const Limits& limits, const std::string* body, const Receive& receive);
  Answer DoOnce(const std::string& path, const Limits& limits, const std::string* body,
                const Receive& receive);
  // Sets what shows the server and us to each other; an error names the file that is wrong.
  absl::Status Secure(const Credentials& credentials);
  void Perform(Transfer& transfer, const Limits& limits);

  const ApiAccess access_;
  CredentialSource credentials_;
  void* curl_ = nullptr;
  void* multi_ = nullptr;
  size_t server_ = 0;  // which of several is asked
  std::atomic<bool> stop_{false};
};

// "a=b%2Cc".
std::string Query(std::string_view name, std::string_view value);

}  // namespace sluice::kubernetes
