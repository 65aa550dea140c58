// PCI addresses, and devices made of files.
// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/pci_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace sluice {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

TEST(PciDeviceTest, Addresses) {
  EXPECT_EQ(PciAddress("0000:03:00.0"), "0000:03:00.0");
  EXPECT_EQ(PciAddress("03:1f.7"), "0000:03:1f.7");
  for (const char* other : {"net_tap0", "net_tap0,iface=03:00.0", "03:00.8", "3:00.0", "0000:03:00", ""})
    EXPECT_EQ(PciAddress(other), std::nullopt) << other;
}

TEST(PciDeviceTest, OnlyWhatIsNotTheKernels) {
  const fs::path root = fs::temp_directory_path() / ("pci-" + std::to_string(getpid()));
  const fs::path device = root / "sys/bus/pci/devices/0000:03:00.0";
  EXPECT_THAT(std::string(CheckPciDevice("0000:03:00.0", root).message()), HasSubstr("no such PCI device"));
  fs::create_directories(device);
  EXPECT_THAT(std::string(CheckPciDevice("0000:03:00.0", root).message()),
              HasSubstr("is bound to no driver"));
  for (const auto& [driver, usable] : {std::pair("ixgbe", false), {"vfio-pci", true}, {"mlx5_core", true}}) {
    fs::remove(device / "driver");
    fs::create_symlink(std::string("../../drivers/") + driver, device / "driver");
    const absl::Status status = CheckPciDevice("0000:03:00.0", root);
    EXPECT_EQ(status.ok(), usable) << driver;
    if (!usable) {
      EXPECT_THAT(std::string(status.message()), HasSubstr("bound to the driver ixgbe"));
    }
  }
  fs::remove_all(root);
}

}  // namespace
}  // namespace sluice
