// ipvsadm's tables, byte for byte.
// Threads: pure functions, but for looking names up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sluice/v1/sluice.pb.h"
#include "tools/sluiceadm/command_line.h"

namespace sluice {

std::string PrintServices(const v1::ListServicesResponse& services, const Command& command);
std::string PrintDaemon(const v1::SyncDaemon& daemon);
std::string ConnectionsTitle();
std::string PrintConnection(const v1::Connection& connection, bool numeric);
// "name = value", a line each, as sysctl has them.
std::string PrintSettings(const v1::Settings& settings);
// In the words of --add-fwmark-rule.
std::string PrintFwmarkRule(const v1::FwmarkRule& rule);
// Those that are configured for no service, and those that are in use.
std::string PrintLocalAddresses(const v1::Config& config, const v1::GetInfoResponse& info);
std::string PrintTimeouts(const v1::Timeouts& timeouts);

// "10.0.0.1:80", "[2001:db8::1]:http"
std::string AddressAndPort(const std::string& address, uint32_t port, v1::Protocol protocol, bool numeric);
// "sh-fallback,sh-port"
std::string FlagNames(const v1::Service& service);
// Other than one client.
bool HasMask(const v1::Persistence& persistence);
// In the order of ipvsadm's tables.
bool ComesBefore(const v1::ServiceKey& a, const v1::ServiceKey& b);
bool ComesBefore(const v1::Destination& a, const v1::Destination& b);

// "123456K": eight columns at most, unless exact.
std::string PrintLarge(uint64_t number, bool exact);

}  // namespace sluice
