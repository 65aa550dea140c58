// A large array in address space of its own: zeroed, never moved, in huge pages where the system has them.
// For tables that random packets reach into, where a missed translation costs as much as a missed cache line.
// Its pages come with first use, unless they are wanted at once: a page that comes late costs the packet that
// needs it up to a millisecond.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace sluice {

enum class Pages { kWhenUsed, kAtOnce };

void* AllocateHuge(size_t bytes, Pages pages);  // aborts when the address space is refused
// Makes those pages come now, whatever is in them.
void CommitHuge(void* memory, size_t bytes);
void FreeHuge(void* memory, size_t bytes);

// T must be usable when all its bytes are zero.
template <class T>
class HugeArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit HugeArray(size_t size, Pages pages = Pages::kWhenUsed)
      : size_(size), memory_(static_cast<T*>(AllocateHuge(size * sizeof(T), pages))) {}
  ~HugeArray() { FreeHuge(memory_, size_ * sizeof(T)); }
  HugeArray(const HugeArray&) = delete;
  HugeArray& operator=(const HugeArray&) = delete;

  size_t size() const { return size_; }
  // Threads: any, also while others use the array.
  void Commit() { CommitHuge(memory_, size_ * sizeof(T)); }
  T& operator[](size_t index) { return memory_[index]; }
  const T& operator[](size_t index) const { return memory_[index]; }

 private:
  size_t size_;
  T* memory_;
};

}  // namespace sluice
