// The rules that hold for any one message, whatever the configuration is at the moment. Everything wrong is
// reported at once. What IPVS knows and this data path cannot do yet is refused here.
// Threads: pure functions.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "control/refusals.h"
#include "dataplane/config/spec.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {

// Each adds what is wrong to `problems`, with field paths that begin with `field`.
std::optional<ServiceKey> ValidateKey(const v1::ServiceKey& key, const std::string& field,
                                      Problems& problems);
void ValidateService(const v1::Service& service, const std::string& field, Problems& problems);
void ValidateDestination(const ServiceKey& service, const v1::Destination& destination,
                         const std::string& field, Problems& problems);
// The endpoint alone, as deleting needs it.
std::optional<Endpoint> ValidateDestinationEndpoint(const ServiceKey& service, const std::string& address,
                                                    uint32_t port, const std::string& field,
                                                    Problems& problems);
// A whole service, as it would be after a change.
void ValidateWhole(const v1::Service& service, const std::string& field, Problems& problems);
void ValidateTimeouts(const v1::Timeouts& timeouts, const std::string& field, Problems& problems);
void ValidateSettings(const v1::Settings& settings, const std::string& field, Problems& problems);
void ValidateLocalAddress(const v1::LocalAddress& local, const std::string& field, Problems& problems);
// The packet of an Explain.
std::optional<FlowKey> ValidateFlow(const v1::ExplainRequest& request, Problems& problems);
void ValidateFwmarkRule(const v1::FwmarkRule& rule, const std::string& field, Problems& problems);

}  // namespace sluice
