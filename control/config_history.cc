// SPDX-License-Identifier: Apache-2.0
#include "control/config_history.h"

namespace sluice {

void ConfigHistory::Add(v1::WatchConfigResponse change) {
  const auto entry = std::make_shared<const v1::WatchConfigResponse>(std::move(change));
  const MutexLock lock(mutex_);
  latest_ = entry->diff().generation();
  if (entries_.empty()) forgotten_until_ = latest_ - 1;
  entries_.push_back(entry);
  bytes_ += entry->ByteSizeLong();
  while (entries_.size() > most_entries_ || bytes_ > most_bytes_) {
    bytes_ -= entries_.front()->ByteSizeLong();
    forgotten_until_ = entries_.front()->diff().generation();
    entries_.pop_front();
  }
  mutex_.NotifyAll();
}

ConfigHistory::News ConfigHistory::After(uint64_t generation, std::chrono::steady_clock::time_point end) {
  const MutexLock lock(mutex_);
  while (latest_ <= generation && std::chrono::steady_clock::now() < end) mutex_.WaitUntil(end);
  News news;
  if (latest_ <= generation) {
    news.known = true;
    return news;
  }
  news.known = generation >= forgotten_until_;
  for (const Entry& entry : entries_) {
    if (news.known && entry->diff().generation() > generation) news.changes.push_back(entry);
  }
  return news;
}

}  // namespace sluice
