// What explain shows is what the next connection gets, and asking changes nothing.
#include <gtest/gtest.h>

#include "tests/schedulers/rig.h"

namespace sluice {
namespace {

TEST(ForeseeTest, IsTheNextPickAndLeavesNoTrace) {
  for (const std::string_view name : SchedulerNames()) {
    if (name == "twos") continue;  // by lot
    SchedulerRig asked(std::string(name), {3, 0, 1, 2, 5});
    SchedulerRig unasked(std::string(name), {3, 0, 1, 2, 5});
    for (uint32_t i = 0; i < 200; ++i) {
      FlowKey flow;
      flow.source = IpAddress::FromV4(Be32::FromHost(0x0a000000 + i * 7919));
      flow.destination = IpAddress::FromV4(Be32::FromHost(0x0a630000 + i % 5));
      flow.source_port = Be16::FromHost(static_cast<uint16_t>(1024 + i));
      for (int times = 0; times < 3; ++times) asked.ForeseeOne(flow);
      const int foreseen = asked.ForeseeOne(flow);
      const int picked = asked.PickOne(flow);
      ASSERT_EQ(foreseen, picked) << name << " " << i;
      ASSERT_EQ(picked, unasked.PickOne(flow)) << name << " " << i;
    }
  }
}

}  // namespace
}  // namespace sluice
