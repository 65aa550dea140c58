// Updates come in order, and when there are too many the oldest are missing and counted.
#include "dataplane/conn/sync_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace sluice {
namespace {

SyncUpdate Update(uint32_t number) {
  SyncUpdate update{.timeout_seconds = number, .fwmark = ~number};
  std::memcpy(update.client.bytes.data(), &number, sizeof number);
  return update;
}

void ExpectWhole(const SyncUpdate& update) {
  uint32_t number = 0;
  std::memcpy(&number, update.client.bytes.data(), sizeof number);
  ASSERT_EQ(number, update.timeout_seconds) << "two updates mixed";
  ASSERT_EQ(~number, update.fwmark);
}

TEST(SyncQueueTest, TheOldestMakeRoom) {
  SyncQueue queue(8);
  SyncUpdate update;
  EXPECT_FALSE(queue.Pop(update));
  for (uint32_t i = 0; i < 5; ++i) queue.Push(Update(i));
  for (uint32_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(queue.Pop(update));
    EXPECT_EQ(update.timeout_seconds, i);
  }
  EXPECT_FALSE(queue.Pop(update));
  for (uint32_t i = 0; i < 100; ++i) queue.Push(Update(i));
  uint32_t expected = 100 - 7;
  while (queue.Pop(update)) EXPECT_EQ(update.timeout_seconds, expected++);
  EXPECT_EQ(expected, 100u);
  EXPECT_EQ(queue.lost(), 93u);
}

TEST(SyncQueueTest, WhileBothAreAtIt) {
  constexpr uint32_t kCount = 2'000'000;
  SyncQueue queue(64);
  std::thread worker([&] {
    for (uint32_t i = 1; i <= kCount; ++i) queue.Push(Update(i));
  });
  uint32_t last = 0;
  uint64_t taken = 0;
  SyncUpdate update;
  while (last < kCount) {
    if (!queue.Pop(update)) continue;
    ASSERT_NO_FATAL_FAILURE(ExpectWhole(update));
    ASSERT_GT(update.timeout_seconds, last) << "in order";
    last = update.timeout_seconds;
    ++taken;
  }
  worker.join();
  EXPECT_EQ(taken + queue.lost(), kCount);
}

}  // namespace
}  // namespace sluice
