// Names and versions as Kubernetes' API allows them.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/object_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(ObjectRulesTest, Names) {
  EXPECT_THAT(FaultOf({"default", "web-1.a"}), IsEmpty());
  EXPECT_THAT(FaultOf({"", "node-1"}), IsEmpty());
  EXPECT_THAT(FaultOf({"default", std::string(253, 'a')}), IsEmpty());
  EXPECT_THAT(FaultOf({"default", std::string(254, 'a')}), HasSubstr("metadata.name must be 1..253"));
  EXPECT_THAT(FaultOf({"default", ""}), HasSubstr("metadata.name must be"));
  EXPECT_THAT(FaultOf({"A", "web"}), HasSubstr("metadata.namespace of web must be"));
  for (int letter = 0; letter < 256; ++letter) {
    const std::string name = {'a', static_cast<char>(letter), 'z'};
    const bool is_allowed = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
                            letter == '-' || letter == '.';
    EXPECT_EQ(FaultOf({"default", name}).empty(), is_allowed) << letter;
    EXPECT_EQ(FaultOf({name, "web"}).empty(), is_allowed) << letter;
  }
  for (const char* name : {"-a", "a-", ".a", "a."}) EXPECT_FALSE(FaultOf({"", name}).empty()) << name;
}

TEST(ObjectRulesTest, Versions) {
  EXPECT_TRUE(IsOlderVersion("9", "10"));
  EXPECT_TRUE(IsOlderVersion("10", "11"));
  EXPECT_TRUE(IsOlderVersion("99999999999999999999", "100000000000000000000"));
  EXPECT_FALSE(IsOlderVersion("10", "10"));
  EXPECT_FALSE(IsOlderVersion("11", "10"));
  for (const char* version : {"", "0", "01", "a", "1a", "-1"}) {
    EXPECT_FALSE(IsOlderVersion(version, "10")) << version;
    EXPECT_FALSE(IsOlderVersion("10", version)) << version;
  }
}

}  // namespace
}  // namespace sluice::kubernetes
