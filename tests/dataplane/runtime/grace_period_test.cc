#include "dataplane/runtime/grace_period.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "dataplane/config/published.h"
#include "tests/support/eal.h"

namespace sluice {
namespace {

// A value that tells whether it is read after its time.
struct Value {
  explicit Value(int n) : number(n) {}
  ~Value() { number = -1; }
  int number;
};

TEST(GracePeriodTest, NobodyReadsAValueThatWasDropped) {
  StartEalForTest();
  constexpr int kWorkers = 3;
  GracePeriod grace_period(kWorkers);
  Published<Value> published(std::make_shared<Value>(0));
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> workers;
  for (int index = 0; index < kWorkers; ++index) {
    workers.emplace_back([&, index] {
      grace_period.Online(index);
      int last = 0;
      for (int round = 0; !stop.load(std::memory_order_relaxed); ++round) {
        const Value& value = published.Get();
        const int number = value.number;
        if (number < last) failures.fetch_add(1);
        last = number;
        grace_period.Quiescent(index);
        if (round % 64 == 0) {  // sleeping
          grace_period.Offline(index);
          std::this_thread::yield();
          grace_period.Online(index);
        }
      }
      grace_period.Offline(index);
    });
  }
  for (int n = 1; n <= 2000; ++n) {
    const std::shared_ptr<const Value> before = published.Exchange(std::make_shared<Value>(n));
    grace_period.Wait();
  }
  stop.store(true);
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(failures.load(), 0);
}

TEST(GracePeriodTest, WhoSleepsIsNotWaitedFor) {
  StartEalForTest();
  GracePeriod grace_period(2);
  grace_period.Wait();
  grace_period.Online(0);
  grace_period.Offline(0);
  grace_period.Wait();
}

}  // namespace
}  // namespace sluice
