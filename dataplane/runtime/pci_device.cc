// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/pci_device.h"

#include <filesystem>
#include <regex>

#include "absl/strings/str_cat.h"

namespace sluice {

std::optional<std::string> PciAddress(const std::string& text) {
  static const std::regex kAddress("([0-9a-fA-F]{4}:)?([0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7])");
  std::smatch parts;
  if (!std::regex_match(text, parts, kAddress)) return std::nullopt;
  return (parts[1].matched ? parts[1].str() : "0000:") + parts[2].str();
}

absl::Status CheckPciDevice(const std::string& address, const std::string& root) {
  namespace fs = std::filesystem;
  const fs::path folder = absl::StrCat(root, "/sys/bus/pci/devices/", address);
  std::error_code error;
  if (!fs::exists(folder, error))
    return absl::NotFoundError(
        absl::StrCat("--port ", address, ": there is no such PCI device; `lspci -D` shows them"));
  const std::string driver = fs::read_symlink(folder / "driver", error).filename();
  // Mellanox' drivers share their device with the kernel's.
  if (driver == "vfio-pci" || driver == "uio_pci_generic" || driver == "igb_uio" || driver.starts_with("mlx"))
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "--port ", address, ": is bound to ", driver.empty() ? "no driver" : "the driver " + driver,
      ", and DPDK needs it at vfio-pci: `sluice doctor --pci ", address, "` says how"));
}

}  // namespace sluice
