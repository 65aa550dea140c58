// Addresses as text, in tests.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "dataplane/net/ip_address.h"

namespace sluice {

inline IpAddress Ip(const std::string& text) { return IpAddress::Parse(text).value(); }

}  // namespace sluice
