// From the schema's messages to the data path's values and back. The input is valid.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "dataplane/config/spec.h"
#include "dataplane/runtime/dataplane.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

Endpoint ToEndpoint(const std::string& address, uint32_t port, Protocol protocol);
ServiceSpec ToSpec(const v1::Service& service);
TimeoutSpec ToSpec(const v1::Timeouts& timeouts);

v1::ServiceKey ToMessage(const ServiceKey& key);
v1::Timeouts ToMessage(const TimeoutSpec& timeouts);
v1::Statistics ToMessage(const DestinationStatistics& statistics);
v1::Connection ToMessage(const ConnectionStatus& connection);

// "TCP 10.0.0.1:80"
std::string NameOf(const ServiceKey& key);

}  // namespace sluice
