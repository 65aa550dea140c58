// From the schema's messages to the data path's values and back. The input is valid.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "dataplane/config/spec.h"
#include "dataplane/runtime/dataplane.h"

namespace sluice::v1 {
enum AddressFamily : int;
class Connection;
class FwmarkRule;
class LocalAddress;
class Rates;
class Service;
class ServiceKey;
class Settings;
class Statistics;
class Timeouts;
}  // namespace sluice::v1

namespace sluice {

Endpoint ToEndpoint(const std::string& address, uint32_t port, Protocol protocol);
ServiceKey KeyOfFwmark(uint32_t fwmark, v1::AddressFamily family);
ServiceSpec ToSpec(const v1::Service& service);
TimeoutSpec ToSpec(const v1::Timeouts& timeouts);
FwmarkRule ToSpec(const v1::FwmarkRule& rule);
LocalAddress ToSpec(const v1::LocalAddress& local);
// `present`, but for what `wanted` names.
Settings Merge(const Settings& present, const v1::Settings& wanted);

// "255.255.255.0" is 24; nothing if it has gaps or is no mask.
// IPv4's are netmasks without gaps, IPv6's the lengths themselves.
std::optional<uint8_t> PrefixLengthOfNetmask(const std::string& netmask, bool is_v4);
// "10.99.0.0/24"; nothing if it is none or has host bits.
std::optional<std::pair<IpAddress, uint8_t>> ParsePrefix(const std::string& text);

v1::ServiceKey ToMessage(const ServiceKey& key);
v1::Timeouts ToMessage(const TimeoutSpec& timeouts);
v1::Settings ToMessage(const Settings& settings);
v1::Statistics ToMessage(const DestinationStatistics& statistics);
v1::Rates ToRates(const DestinationStatistics& per_second);
v1::Connection ToMessage(const ConnectionStatus& connection);
// "tcp 10.99.0.0/24 ports 80-90 to mark 7"
std::string NameOf(const v1::FwmarkRule& rule);
std::string NameOf(const v1::LocalAddress& local);

// "TCP 10.0.0.1:80", "FWM 7"
std::string NameOf(const ServiceKey& key);

}  // namespace sluice
