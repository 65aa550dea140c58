// Asks the kernel about an interface what it says in no file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "tools/sluice/doctor.h"

namespace sluice {

InterfaceProbe ProbeInterface(const std::string& name);

}  // namespace sluice
