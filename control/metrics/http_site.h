// HttpSite is the pages of one address that is listened on.
// Threads: any.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "control/metrics/http_page.h"
#include "control/mutex.h"

namespace sluice {

using HttpPages = std::map<std::string, std::function<HttpPage()>>;  // by path; "*": any other

class HttpSite {
 public:
  HttpSite(int listening, HttpPages pages);

  // Null: the site is closed. A costly page is shared for as long as it took to make, so that those who ask
  // for it take half of a thread's time at most, however many they are.
  std::shared_ptr<const HttpPage> Find(const std::string& path);
  // No page is being made when it returns, and none will be.
  void Close();
  bool IsClosed() const;

  const int listening;  // the socket, which is the HttpServer's to close

 private:
  using Clock = std::chrono::steady_clock;
  struct Known {
    std::function<HttpPage()> make;
    std::shared_ptr<const HttpPage> page;  // of the last time, if it was costly
    Clock::time_point usable_until;
  };

  mutable Mutex mutex_;  // held while a page is made
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<std::string, Known> pages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace sluice
