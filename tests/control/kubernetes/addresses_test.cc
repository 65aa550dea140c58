// Which of a host's addresses node ports are served on.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

LocalInterfaceAddress On(const std::string& interface, const std::string& text) {
  return {interface, *ParseAddress(text), text.starts_with("fe80:")};
}

class AddressesTest : public testing::Test {
 protected:
  std::vector<std::string> NodePorts(bool is_v6 = false) const {
    std::vector<std::string> texts;
    for (const Address& each : Sort(host_, choice_, node_).node_ports) {
      if (each.is_v6 == is_v6) texts.push_back(each.text);
    }
    return texts;
  }
  NodePortChoice choice_{.own_interfaces = {"sluice-ipvs0", "kube-ipvs0"}, .prefixes = {}};
  std::vector<Address> node_;
  std::vector<LocalInterfaceAddress> host_ = {On("lo", "127.0.0.1"), On("lo", "::1")};
};

TEST_F(AddressesTest, NeitherLoopbackNorLinkLocal) {
  EXPECT_THAT(NodePorts(), IsEmpty());
  host_.push_back(On("eth0", "1.2.3.4"));
  EXPECT_THAT(NodePorts(), ElementsAre("1.2.3.4"));
  host_.push_back(On("encap0", "10.20.30.40"));
  host_.push_back(On("encap0", "fe80::200:ff:fe01:1"));
  host_.push_back(On("docker0", "172.17.0.1"));
  EXPECT_THAT(NodePorts(), ElementsAre("1.2.3.4", "10.20.30.40", "172.17.0.1"));
  EXPECT_THAT(NodePorts(true), IsEmpty());
}

TEST_F(AddressesTest, NotThoseOfServices) {
  host_.push_back(On("kube-ipvs0", "1.2.3.4"));
  host_.push_back(On("kube-ipvs0", "2000::"));
  host_.push_back(On("sluice-ipvs0", "1.2.3.5"));
  EXPECT_THAT(NodePorts(), IsEmpty());
  EXPECT_THAT(NodePorts(true), IsEmpty());
  EXPECT_THAT(Sort(host_, choice_, node_).all, IsEmpty());
  host_.push_back(On("encap7", "10.20.30.31"));
  host_.push_back(On("encap7", "1000::"));
  EXPECT_THAT(NodePorts(), ElementsAre("10.20.30.31"));
  EXPECT_THAT(NodePorts(true), ElementsAre("1000::"));
  // One that also stands on another interface is a service's all the same; the host has it, too.
  host_.push_back(On("encap7", "1.2.3.4"));
  EXPECT_THAT(NodePorts(), ElementsAre("10.20.30.31"));
  EXPECT_TRUE(Sort(host_, choice_, node_).all.contains("1.2.3.4"));
}

TEST_F(AddressesTest, AnInterfaceOfAnotherNameIsTheHosts) {
  host_.push_back(On("ipvs0", "1.2.3.4"));
  host_.push_back(On("ipvs0", "1000::"));
  host_.push_back(On("encap7", "10.20.30.31"));
  host_.push_back(On("encap7", "2000::"));
  host_.push_back(On("encap7", "fe80::200:ff:fe01:1"));
  EXPECT_THAT(NodePorts(), ElementsAre("1.2.3.4", "10.20.30.31"));
  EXPECT_THAT(NodePorts(true), ElementsAre("1000::", "2000::"));
}

TEST_F(AddressesTest, ByPrefixOfAFamilyWithoutAnyAll) {
  host_.push_back(On("eth0", "100.101.102.103"));
  host_.push_back(On("eth1", "192.168.1.10"));
  host_.push_back(On("eth1", "2001:db8::1"));
  choice_.prefixes = {*ParsePrefix("100.101.102.0/24")};
  EXPECT_THAT(NodePorts(), ElementsAre("100.101.102.103"));
  EXPECT_THAT(NodePorts(true), ElementsAre("2001:db8::1"));
  choice_.prefixes.push_back(*ParsePrefix("0.0.0.0/0"));
  EXPECT_THAT(NodePorts(), ElementsAre("100.101.102.103", "192.168.1.10"));
  choice_.prefixes = {*ParsePrefix("127.0.0.0/8")};
  EXPECT_THAT(NodePorts(), IsEmpty());
}

TEST_F(AddressesTest, ThePrimary) {
  host_.push_back(On("eth0", "100.101.102.103"));
  host_.push_back(On("eth1", "192.168.1.10"));
  choice_.primary = true;
  node_ = {*ParseAddress("192.168.1.10"), *ParseAddress("10.9.9.9")};
  EXPECT_THAT(NodePorts(), ElementsAre("192.168.1.10"));
}

}  // namespace
}  // namespace sluice::kubernetes
