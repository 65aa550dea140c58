// A value that one thread replaces and workers read without waiting.
// Threads: Get on any worker between two of its quiescent states; Exchange on the control thread, which
// must wait one grace period before it drops what it got back.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace sluice {

template <class T>
class Published {
 public:
  explicit Published(std::shared_ptr<const T> first) : current_(std::move(first)), visible_(current_.get()) {}

  const T& Get() const { return *visible_.load(std::memory_order_acquire); }

  // The control thread's own copy.
  const std::shared_ptr<const T>& Current() const { return current_; }

  [[nodiscard]] std::shared_ptr<const T> Exchange(std::shared_ptr<const T> next) {
    visible_.store(next.get(), std::memory_order_release);
    return std::exchange(current_, std::move(next));
  }

 private:
  std::shared_ptr<const T> current_;
  std::atomic<const T*> visible_;
};

}  // namespace sluice
