// SPDX-License-Identifier: Apache-2.0
#include "control/metrics/http_site.h"

#include <utility>

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr auto kCostly = 5ms;

}  // namespace

HttpSite::HttpSite(int listening, HttpPages pages) : listening(listening) {
  const MutexLock lock(mutex_);
  for (auto& [path, make] : pages) pages_[path].make = std::move(make);
}

std::shared_ptr<const HttpPage> HttpSite::Find(const std::string& path) {
  const MutexLock lock(mutex_);
  if (is_closed_) return nullptr;
  auto found = pages_.find(path);
  if (found == pages_.end()) found = pages_.find("*");
  if (found == pages_.end())
    return std::make_shared<HttpPage>(HttpPage{.status = 404, .text = "there is no such page\n"});
  Known& known = found->second;
  const Clock::time_point begin = Clock::now();
  if (known.page != nullptr && begin < known.usable_until) return known.page;
  auto page = std::make_shared<const HttpPage>(known.make());
  const Clock::time_point end = Clock::now();
  known.page = end - begin > kCostly ? page : nullptr;
  known.usable_until = end + (end - begin);
  return page;
}

void HttpSite::Close() {
  const MutexLock lock(mutex_);
  is_closed_ = true;
  pages_.clear();
}

bool HttpSite::IsClosed() const {
  const MutexLock lock(mutex_);
  return is_closed_;
}

}  // namespace sluice
