// Names the other writer of the kernel's IPVS: the kernel does not say, but they are known by their processes and
// interfaces.
// Threads: pure functions, but for the files under `root`.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sluice {

// "kube-proxy", or "kube-proxy (by its interface kube-ipvs0)", or "somebody else".
std::string OtherWriter(const std::string& root = "");

}  // namespace sluice
