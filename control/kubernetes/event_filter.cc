// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/event_filter.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sluice::kubernetes {
namespace {

using namespace std::chrono_literals;

// client-go's numbers.
constexpr auto kInterval = 10min;
constexpr size_t kMostSimilar = 10;
constexpr double kBurst = 25;
constexpr std::chrono::duration<double> kOneMoreEvery = 300s;
constexpr size_t kMostEntries = 4096;

// Room for one more: the oldest goes.
template <class Map>
void MakeRoom(Map& map) {
  if (map.size() < kMostEntries) return;
  map.erase(std::min_element(map.begin(), map.end(),
                             [](const auto& a, const auto& b) { return a.second.since < b.second.since; }));
}

}  // namespace

std::optional<std::string> EventFilter::Pass(const std::string& uid, const std::string& reason,
                                             const std::string& message, Clock::time_point now) {
  const std::pair key(uid, reason);
  auto found = kinds_.find(key);
  if (found == kinds_.end() || now - found->second.since > kInterval) {
    if (found == kinds_.end()) MakeRoom(kinds_);
    found = kinds_.insert_or_assign(key, Kind{.since = now, .messages = {}}).first;
  }
  Kind& kind = found->second;
  if (kind.is_combined || kind.messages.contains(message) || !TakeShare(uid, now)) return std::nullopt;
  if (kind.messages.size() < kMostSimilar) {
    kind.messages.insert(message);
    return message;
  }
  kind.is_combined = true;
  return absl::StrCat("(combined from similar events): ", message);
}

bool EventFilter::TakeShare(const std::string& uid, Clock::time_point now) {
  auto found = shares_.find(uid);
  if (found == shares_.end()) {
    MakeRoom(shares_);
    found = shares_.emplace(uid, Share{.left = kBurst, .since = now}).first;
  }
  Share& share = found->second;
  share.left = std::min(kBurst, share.left + (now - share.since) / kOneMoreEvery);
  share.since = now;
  if (share.left < 1) return false;
  --share.left;
  return true;
}

std::string EventName(const std::string& service, const std::string& uid, const std::string& reason,
                      const std::string& message) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: the same on every node
  for (const char each : absl::StrCat(uid, "\n", reason, "\n", message))
    hash = (hash ^ static_cast<uint8_t>(each)) * 0x100000001b3;
  return absl::StrCat(service, ".", absl::Hex(hash, absl::kZeroPad16));
}

}  // namespace sluice::kubernetes
