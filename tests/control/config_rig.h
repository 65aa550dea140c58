// A ConfigStore whose snapshots go nowhere, and requests as text.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/config_store.h"

namespace sluice {

class ConfigStoreTest : public testing::Test {
 protected:
  ConfigStoreTest()
      : publisher_({.destinations = &destinations_,
                    .publish =
                        [this](std::shared_ptr<const Snapshot> snapshot) {
                          return published_ = std::move(snapshot), absl::OkStatus();
                        },
                    .statistics = [](DestinationId) { return DestinationStatistics(); },
                    .keep_resolved = [](const std::map<IpAddress, bool>&) {}}) {}

  static v1::ApplyRequest Request(const std::string& text) {
    v1::ApplyRequest request;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
    return request;
  }
  absl::StatusOr<v1::ApplyResponse> Apply(const std::string& text) { return store_.Apply(Request(text)); }
  // The changes of a request that must succeed.
  std::vector<std::string> Changed(const std::string& text) {
    const auto response = Apply(text);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? std::vector<std::string>(response->changed().begin(), response->changed().end())
                         : std::vector<std::string>();
  }
  // "REASON field: message" of each refusal.
  std::vector<std::string> Refused(const std::string& text) {
    const v1::GetConfigResponse before = store_.Config();
    const auto response = Apply(text);
    EXPECT_FALSE(response.ok());
    EXPECT_EQ(store_.Config().SerializeAsString(), before.SerializeAsString()) << "a refusal changes nothing";
    std::vector<std::string> refused;
    const v1::Refusals refusals = RefusalsOf(response.status());
    for (const v1::Refusal& refusal : refusals.refusals()) {
      refused.push_back(v1::RefusalReason_Name(refusal.reason()) + " " + refusal.field() + ": " +
                        refusal.message());
    }
    return refused;
  }

  DestinationTable destinations_;
  std::shared_ptr<const Snapshot> published_;
  Publisher publisher_;
  ConfigStore store_{publisher_};

  const std::string key_ = R"(key { protocol: TCP address: "10.99.0.1" port: 80 })";
  const std::string service_ = R"(service { protocol: TCP address: "10.99.0.1" port: 80 })";
  const std::string add_ =
      "changes { put_service { mode: CREATE service { " + key_ + R"( scheduler: "rr" } } } )";
  std::string Server(const std::string& more, const std::string& mode = "CREATE") {
    return "changes { put_destination { mode: " + mode + " " + service_ + " destination { method: NAT " +
           more + " } } } ";
  }
};

}  // namespace sluice
