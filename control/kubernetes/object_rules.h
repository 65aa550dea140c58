// The rules of Kubernetes' API for what all objects have. A server keeps them; what breaks them comes from elsewhere.
// Threads: functions of values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {

// Says which rule the names break; empty: none.
std::string FaultOf(const ObjectName& name);

// Versions of one kind may be compared since Kubernetes 1.35. False also if either is no number.
bool IsOlderVersion(std::string_view version, std::string_view than);

}  // namespace sluice::kubernetes
