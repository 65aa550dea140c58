// The doctor, on machines made of files.
// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class DoctorTest : public testing::Test {
 protected:
  DoctorTest() {
    root_ = fs::temp_directory_path() / ("doctor-" + std::to_string(getpid()));
    Write("/proc/sys/kernel/osrelease", "6.1.0-13-amd64");
    Write("/proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
    Write("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512");
    Write("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
    Write("/sys/devices/system/cpu/isolated", "2-3");
    Write("/lib/modules/6.1.0-13-amd64/modules.dep",
          "kernel/net/netfilter/ipvs/ip_vs.ko: kernel/lib/libcrc32c.ko");
    Write("/proc/sys/net/ipv4/ip_forward", "1");
    Write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    Write("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
    Write("/sys/class/net/eth0/operstate", "up");
    Write("/sys/class/net/eth0/mtu", "1500");
    Write("/sys/class/net/eth0/queues/rx-0/rps_cpus", "0");
    Write("/sys/class/net/eth0/queues/rx-1/rps_cpus", "0");
    Write("/sys/class/net/eth0/queues/tx-0/xps_cpus", "0");
    Link("/sys/class/net/eth0/device/driver", "../drivers/ice");
    Link("/sys/bus/pci/devices/0000:03:00.0/driver", "../drivers/vfio-pci");
    Write("/sys/class/iommu/dmar0", "");
    options_.interfaces = {"eth0"};
    options_.probe = [this](const std::string&) { return probe_; };
  }
  ~DoctorTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_.string() + path).substr(0, (root_.string() + path).rfind('/')));
    std::ofstream(root_.string() + path) << text << '\n';
  }
  void Link(const std::string& path, const std::string& target) {
    const fs::path link = root_.string() + path;
    fs::create_directories(link.parent_path());
    fs::remove(link);
    fs::create_symlink(target, link);
  }
  // The worst first; "" if all is well.
  std::string Complaint() {
    std::string text;
    for (const Health health : {Health::kBad, Health::kCouldBeBetter}) {
      for (const Finding& finding : Examine(Machine(root_), options_)) {
        if (finding.health != health) continue;
        EXPECT_NE(finding.mend, "") << finding.what;
        text += (health == Health::kBad ? "BAD " : "fair ") + finding.what + " -> " + finding.mend + "\n";
      }
    }
    return text;
  }

  fs::path root_;
  DoctorOptions options_{.workers = 2};
  InterfaceProbe probe_{.driver = "", .xdp_program = "", .can_spread = true};
};

TEST_F(DoctorTest, AHealthyMachine) {
  options_.pci_devices = {"0000:03:00.0"};
  probe_.xdp_program = "sluice_steer";
  EXPECT_EQ(Complaint(), "");
}

TEST_F(DoctorTest, ANodeOfKubernetesHasKubeProxysSettings) {
  const std::string folder = "/proc/sys/net/ipv4/vs/";
  for (const char* name : {"conntrack", "expire_nodest_conn", "expire_quiescent_template"})
    Write(folder + name, "0");
  EXPECT_EQ(Complaint(), "") << "no node of Kubernetes";
  Write("/var/lib/kubelet/config.yaml", "");
  for (const char* name : {"conntrack", "expire_nodest_conn", "expire_quiescent_template"}) {
    EXPECT_THAT(Complaint(), HasSubstr("echo 1 > " + folder + name));
    Write(folder + name, "1");
  }
  EXPECT_EQ(Complaint(), "");
}

TEST_F(DoctorTest, EveryAilmentHasItsWords) {
  struct Case {
    const char* file;
    const char* text;
    const char* says;
  };
  const Case cases[] = {
      {"/proc/sys/kernel/osrelease", "5.10.0-26-amd64", "BAD kernel 5.10.0-26-amd64 is too old"},
      {"/proc/self/status", "CapEff:\t0000000000000000", "BAD not permitted: CAP_NET_ADMIN, CAP_NET_RAW"},
      {"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0", "fair no free hugepages"},
      {"/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]", "echo madvise >"},
      {"/sys/devices/system/cpu/isolated", "", "fair no CPU is isolated"},
      {"/lib/modules/6.1.0-13-amd64/modules.dep", "", "fair this kernel has no IPVS"},
      {"/proc/sys/net/ipv4/ip_forward", "0", "echo 1 > /proc/sys/net/ipv4/ip_forward"},
      {"/proc/sys/net/ipv4/conf/all/rp_filter", "1", "BAD /proc/sys/net/ipv4/conf/all/rp_filter is 1"},
      {"/proc/sys/net/ipv4/conf/eth0/rp_filter", "1", "echo 2 > /proc/sys/net/ipv4/conf/eth0/rp_filter"},
      {"/sys/class/net/eth0/operstate", "down", "ip link set dev eth0 up"},
      {"/sys/class/net/eth0/mtu", "9000", "BAD eth0: MTU 9000 is more than AF_XDP can take"},
  };
  for (const Case& each : cases) {
    const std::string before = Machine(root_).Read(each.file).value_or("");
    Write(each.file, each.text);
    EXPECT_THAT(Complaint(), HasSubstr(each.says));
    Write(each.file, before);
    EXPECT_EQ(Complaint(), "") << each.file;
  }
}

TEST_F(DoctorTest, Interfaces) {
  options_.workers = 4;
  EXPECT_THAT(Complaint(),
              HasSubstr("BAD eth0 has 2 receive queues for 4 workers -> ethtool -L eth0 combined 4"));
  options_.workers = 2;
  probe_.xdp_program = "xdp_filter";
  probe_.xdp_program_id = 17;
  EXPECT_THAT(Complaint(), HasSubstr("BAD eth0 has the XDP program \"xdp_filter\" (id 17) of somebody else"));
  probe_ = {};
  EXPECT_THAT(Complaint(), HasSubstr("fair eth0 cannot spread packets"));
  probe_.can_spread = true;
  Link("/sys/class/net/eth0/device/driver", "../drivers/8139too");
  EXPECT_THAT(Complaint(), HasSubstr("fair eth0: driver 8139too is not known to run XDP"));
  Link("/sys/class/net/eth0/device/driver", "../drivers/ice");
  for (const char* node : {"node0", "node1"})
    Write(std::string("/sys/devices/system/node/") + node + "/cpulist",
          node == std::string("node1") ? "8-15" : "0-7");
  Write("/sys/class/net/eth0/device/numa_node", "1");
  EXPECT_THAT(Complaint(),
              HasSubstr("NUMA node 1: workers elsewhere reach it over the interconnect -> start sluiced "
                        "with --cpus of 8-15"));
  fs::remove(root_ / "sys/class/net/eth0/device/driver");
  EXPECT_THAT(Complaint(), HasSubstr("fair eth0: driver none is not known"));
  probe_.driver = "veth";
  EXPECT_THAT(Complaint(), testing::Not(HasSubstr("driver")));
  options_.interfaces = {"eth9"};
  EXPECT_THAT(Complaint(), HasSubstr("BAD there is no interface eth9"));
}

TEST_F(DoctorTest, AnInterfaceThatHidesVlanTags) {
  probe_.strips_vlans = true;
  EXPECT_THAT(Complaint(), HasSubstr("fair eth0 takes VLAN tags out of frames"));
  EXPECT_THAT(Complaint(), HasSubstr("-> ethtool -K eth0 rxvlan off"));
  Write("/sys/class/net/eth0/upper_br0", "");
  EXPECT_THAT(Complaint(), HasSubstr("fair eth0 takes"));
  Write("/sys/class/net/eth0/upper_eth0.7", "");
  Write("/proc/net/vlan/eth0.7", "");
  EXPECT_THAT(Complaint(), HasSubstr("BAD eth0 takes"));
}

TEST_F(DoctorTest, WhatTheRunningOneSays) {
  options_.troubles = {"interface eth0 is gone"};
  EXPECT_THAT(Complaint(), HasSubstr("BAD sluiced says: interface eth0 is gone"));
}

TEST_F(DoctorTest, PciDevices) {
  options_.pci_devices = {"0000:99:00.0"};
  EXPECT_THAT(Complaint(), HasSubstr("BAD there is no PCI device 0000:99:00.0"));
  options_.pci_devices = {"0000:03:00.0"};
  Link("/sys/bus/pci/devices/0000:03:00.0/driver", "../drivers/ixgbe");
  EXPECT_THAT(Complaint(),
              HasSubstr("is bound to the driver ixgbe: DPDK cannot have it -> modprobe vfio-pci"));
  Link("/sys/bus/pci/devices/0000:03:00.0/driver", "../drivers/vfio-pci");
  fs::remove_all(root_ / "sys/class/iommu");
  EXPECT_THAT(Complaint(), HasSubstr("BAD no IOMMU"));
  Write("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y");
  EXPECT_THAT(Complaint(), HasSubstr("fair vfio without an IOMMU"));
}

}  // namespace
}  // namespace sluice
