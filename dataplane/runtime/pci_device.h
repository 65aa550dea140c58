// PCI devices that DPDK shall have: their names, and whether they can be had.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"

namespace sluice {

// "0000:03:00.0" of that or of "03:00.0"; nothing: it is no PCI address.
std::optional<std::string> PciAddress(const std::string& text);

// Whether it is there, and not the kernel's. `root` stands before every path: for tests.
absl::Status CheckPciDevice(const std::string& address, const std::string& root = "");

}  // namespace sluice
