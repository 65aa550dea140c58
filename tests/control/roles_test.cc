// A certificate's name has the role it was given, and no other.
#include "control/roles.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(RolesTest, ByName) {
  Roles roles;
  EXPECT_EQ(roles.Of("anybody"), Role::kAll) << "nobody has set any";
  ASSERT_TRUE(roles.Add("watcher=read").ok());
  ASSERT_TRUE(roles.Add("CN=odd=write").ok());
  ASSERT_TRUE(roles.Add("operator=all").ok());
  EXPECT_EQ(roles.Of("watcher"), Role::kRead);
  EXPECT_EQ(roles.Of("CN=odd"), Role::kWrite);
  EXPECT_EQ(roles.Of("operator"), Role::kAll);
  EXPECT_EQ(roles.Of("anybody"), Role::kNone);
  for (const char* wrong : {"", "watcher", "=read", "watcher=", "watcher=none", "watcher=admin"})
    EXPECT_THAT(std::string(roles.Add(wrong).message()), testing::HasSubstr("must be NAME=read")) << wrong;
}

}  // namespace
}  // namespace sluice
