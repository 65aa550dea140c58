// A million random changes of services and destinations, with connections that come and go, against a model
// that is too simple to be wrong.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "dataplane/config/snapshot_builder.h"

namespace sluice {
namespace {

using Name = std::pair<ServiceKey, Endpoint>;  // a destination of a service

class ConfigurationModelTest : public testing::Test {
 protected:
  static constexpr uint32_t kServices = 5;
  static constexpr uint32_t kServers = 6;
  static constexpr std::chrono::seconds kTrashTime{120};

  ServiceKey KeyOf(uint32_t service) const {
    if (service == kServices - 1) return {{IpAddress::FromV4(Be32{}), Be16{}, Protocol::kTcp}, 7};
    return {{IpAddress::FromV4(Be32::FromHost(0x0a630001 + service % 2)),
             Be16::FromHost(static_cast<uint16_t>(80 + service / 2)), Protocol::kTcp}};
  }
  static Endpoint ServerOf(uint32_t server) {
    return {IpAddress::FromV4(Be32::FromHost(0x0a010001 + server)), Be16::FromHost(8080), Protocol::kTcp};
  }

  // The service becomes another: some servers leave, some come, weights and thresholds change.
  void Put() {
    const ServiceKey key = KeyOf(random_() % kServices);
    std::vector<DestinationSpec>& present = services_[key];
    const std::vector<DestinationSpec> before = present;
    std::erase_if(present, [&](const DestinationSpec&) { return random_() % 4 == 0; });
    for (DestinationSpec& destination : present) {
      if (random_() % 3 == 0) destination.weight = static_cast<int>(random_() % 4);
      if (random_() % 3 == 0) destination.upper_threshold = random_() % 4;
    }
    for (uint32_t tries = random_() % 3; tries > 0; --tries) {
      const Endpoint server = ServerOf(random_() % kServers);
      // One that goes and comes in the same change never was away.
      const auto is_it = [&](const auto& each) { return each.address == server.address; };
      if (std::any_of(before.begin(), before.end(), is_it) ||
          std::any_of(present.begin(), present.end(), is_it))
        continue;
      present.push_back(
          {.address = server.address, .port = server.port, .weight = static_cast<int>(random_() % 4)});
    }
    static const char* const kSchedulers[] = {"rr", "wrr", "wlc", "sed"};
    builder_.Put({.key = key, .scheduler = kSchedulers[random_() % 4], .destinations = present});
    Publish();
  }

  void Delete() {
    const ServiceKey key = KeyOf(random_() % kServices);
    builder_.Delete(key);
    services_.erase(key);
    Publish();
  }

  void Publish() {
    snapshot_ = builder_.Build();
    builder_.Published();
    for (const EndpointChange& change : snapshot_->endpoint_changes) {
      std::set<Endpoint>& steered = change.role == EndpointRole::kVirtual ? virtual_ : real_;
      if (change.added) {
        ASSERT_TRUE(steered.insert(change.endpoint).second) << "told twice";
      } else {
        ASSERT_EQ(steered.erase(change.endpoint), 1u) << "never told";
      }
    }
  }

  void OpenConnection() {
    const Service* service = builder_.Find(KeyOf(random_() % kServices));
    if (service == nullptr) return;
    const int chosen = service->scheduler->Pick({}, service->candidates);
    if (chosen == kNoCandidate) return;
    const Candidate& candidate = service->candidates[static_cast<size_t>(chosen)];
    ASSERT_GT(candidate.weight, 0);
    const Name name{service->spec.key, {candidate.address, candidate.port, Protocol::kTcp}};
    const uint32_t limit = LimitOf(name);
    ASSERT_TRUE(limit == 0 || open_[name].size() < limit) << "overloaded, but chosen";
    destinations_.AddConnection(candidate.id, false);
    open_[name].push_back(candidate.id);
  }

  void CloseConnection() {
    if (open_.empty()) return;
    const auto at = std::next(open_.begin(), static_cast<std::ptrdiff_t>(random_() % open_.size()));
    if (!at->second.empty()) {
      destinations_.RemoveConnection(at->second.back(), false);
      at->second.pop_back();
    }
    if (at->second.empty()) open_.erase(at);
  }

  void LetTimePass() {
    now_ += std::chrono::seconds(random_() % 100);
    builder_.EmptyTrash(now_);
    Publish();
  }

  uint32_t LimitOf(const Name& name) {
    for (const DestinationSpec& each : services_[name.first]) {
      if (each.address == name.second.address) return each.upper_threshold;
    }
    return 0;
  }

  // Everything that can be asked.
  void Check() {
    size_t known = 0;
    for (uint32_t i = 0; i < kServices; ++i) {
      const ServiceKey key = KeyOf(i);
      const Service* service = builder_.Find(key);
      const auto expected = services_.find(key);
      ASSERT_EQ(service != nullptr, expected != services_.end());
      if (!key.HasFwmark()) {
        ASSERT_EQ(snapshot_->FindService(key.address, key.port, key.protocol), service);
      }
      if (service == nullptr) continue;
      ++known;
      const std::vector<DestinationSpec>& wanted = expected->second;
      ASSERT_EQ(service->candidates.size(), wanted.size());
      for (size_t j = 0; j < wanted.size(); ++j) {
        const Candidate& candidate = service->candidates[wanted.size() - 1 - j];  // the newest first
        ASSERT_EQ(candidate.address, wanted[j].address);
        ASSERT_EQ(candidate.weight, wanted[j].weight);
        ASSERT_TRUE(destinations_.IsAvailable(candidate.id));
        ASSERT_EQ((destinations_.traits(candidate.id) & kQuiesced) != 0, candidate.weight == 0);
        const auto open = open_.find({key, {candidate.address, candidate.port, Protocol::kTcp}});
        const size_t count = open == open_.end() ? 0 : open->second.size();
        ASSERT_EQ(static_cast<size_t>(candidate.load->Total()), count)
            << "connections come back with their server";
        if (count > 0) {
          ASSERT_EQ(open->second.front(), candidate.id);
        }
        ASSERT_TRUE(virtual_.contains(key) || key.HasFwmark()) << "not steered";
      }
    }
    ASSERT_EQ(snapshot_->services.size(), known);
    for (const auto& open : open_) {
      const Name& name = open.first;
      const std::vector<DestinationId>& ids = open.second;
      for (const DestinationId id : ids) ASSERT_EQ(id, ids.front());
      const bool available = destinations_.IsAvailable(ids.front());
      const auto service = services_.find(name.first);
      ASSERT_EQ(available,
                service != services_.end() && std::any_of(service->second.begin(), service->second.end(),
                                                          [&](const DestinationSpec& each) {
                                                            return each.address == name.second.address;
                                                          }));
    }
  }

  std::mt19937 random_{std::random_device()()};
  DestinationTable destinations_;
  SnapshotBuilder builder_{destinations_};
  std::shared_ptr<const Snapshot> snapshot_ = builder_.Build();
  SnapshotBuilder::Clock::time_point now_{};
  // The model: what is wanted, in the order of adding; and the connections of each destination by its name.
  std::map<ServiceKey, std::vector<DestinationSpec>> services_;
  std::map<Name, std::vector<DestinationId>> open_;
  std::set<Endpoint> virtual_, real_;
};

TEST_F(ConfigurationModelTest, AMillionOperations) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_.seed(seed);
  for (int i = 0; i < 1'000'000 && !HasFatalFailure(); ++i) {
    switch (random_() % 20) {
      case 0:
      case 1:
      case 2: Put(); break;
      case 3:
        if (random_() % 4 == 0) Delete();
        break;
      case 4: LetTimePass(); break;
      case 5: Check(); break;
      default:
        if (random_() % 2 == 0) {
          OpenConnection();
        } else {
          CloseConnection();
        }
    }
  }
  Check();
}

}  // namespace
}  // namespace sluice
