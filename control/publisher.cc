// SPDX-License-Identifier: Apache-2.0
#include "control/publisher.h"

#include <algorithm>
#include <cstdio>

namespace sluice {
namespace {

constexpr std::chrono::seconds kEmptyTrashEvery{30};
constexpr std::chrono::seconds kEndDrainsEvery{1};
// Of estimating, between two looks for a change to publish: some hundred microseconds.
constexpr size_t kEstimatesAtOnce = 2000;

}  // namespace

Publisher::Publisher(PublishTarget target)
    : target_(std::move(target)),
      builder_(*target_.destinations, target_.owners),
      statistics_(*target_.destinations, target_.statistics) {
  {
    const MutexLock lock(mutex_);
    view_.snapshot = builder_.Build();
    free_destinations_ = target_.destinations->FreeCount();
  }
  thread_ = std::thread([this] { Run(); });
}

Publisher::~Publisher() {
  {
    const MutexLock lock(mutex_);
    stop_ = true;
    mutex_.NotifyAll();
  }
  thread_.join();
}

bool Publisher::HasRoomFor(size_t destinations) {
  const MutexLock lock(mutex_);
  return unbuilt_destinations_ + destinations <= free_destinations_;
}

void Publisher::Submit(Change change) {
  const MutexLock lock(mutex_);
  unbuilt_destinations_ += change.added_destinations;
  mutex_.NotifyAll();
  if (!has_pending_) {
    pending_ = std::move(change);
    has_pending_ = true;
    return;
  }
  for (auto& [key, service] : change.services) pending_.services[key] = std::move(service);
  if (change.global) pending_.global = std::move(change.global);
  pending_.generation = change.generation;
  pending_.added_destinations += change.added_destinations;
}

void Publisher::WaitFor(uint64_t generation) {
  const MutexLock lock(mutex_);
  while (view_.generation < generation && !stop_) mutex_.Wait();
}

Publisher::View Publisher::Current() {
  const MutexLock lock(mutex_);
  return view_;
}

DestinationStatistics Publisher::StatisticsOf(const ServiceKey& service) {
  const MutexLock lock(mutex_);
  return statistics_.OfService(service);
}

DestinationStatistics Publisher::StatisticsOf(DestinationId id) {
  const MutexLock lock(mutex_);
  return statistics_.OfDestination(id);
}

DestinationStatistics Publisher::RatesOf(const ServiceKey& service) {
  const MutexLock lock(mutex_);
  return statistics_.RatesOfService(service);
}

DestinationStatistics Publisher::RatesOf(DestinationId id) {
  const MutexLock lock(mutex_);
  return statistics_.RatesOfDestination(id);
}

DestinationStatistics Publisher::TotalRates() {
  const MutexLock lock(mutex_);
  return statistics_.TotalRates();
}

std::optional<std::vector<bool>> Publisher::MembersOf(const ServiceKey& service) {
  const MutexLock lock(mutex_);
  const std::optional<std::set<DestinationId>> members = statistics_.MembersOf(service);
  if (!members) return std::nullopt;
  std::vector<bool> by_id(kMaxDestinations);
  for (const DestinationId id : *members) by_id[id] = true;
  return by_id;
}

bool Publisher::ZeroStatistics(const ServiceKey& service) {
  const MutexLock lock(mutex_);
  return statistics_.Zero(service);
}

void Publisher::ZeroAllStatistics() {
  const MutexLock lock(mutex_);
  statistics_.ZeroAll();
}

void Publisher::KeepTime(Clock::time_point now) {
  const MutexLock lock(mutex_);
  told_time_ = now;
  mutex_.NotifyAll();
  while (told_time_ && !stop_) mutex_.Wait();
}

void Publisher::Run() {
  while (true) {
    std::optional<Change> change;
    std::optional<Clock::time_point> told_time;
    {
      const MutexLock lock(mutex_);
      const Clock::time_point wait_until = target_.own_time ? Clock::time_point::max()
                                           : estimating_    ? Clock::time_point::min()
                                                            : end_drains_at_;
      while (!stop_ && !has_pending_ && !told_time_ && Clock::now() < wait_until)
        mutex_.WaitUntil(wait_until);
      if (stop_) return;
      told_time = told_time_;
      if (has_pending_) {
        change = std::move(pending_);
        pending_ = {};
        has_pending_ = false;
      }
    }
    if (change) {
      Build(*change);
      Publish(change->generation);
    }
    if (!target_.own_time) {
      DoWhatIsDue(Clock::now());
    } else if (told_time) {
      DoWhatIsDue(*told_time);
      const MutexLock lock(mutex_);
      told_time_.reset();
      mutex_.NotifyAll();
    }
  }
}

void Publisher::DoWhatIsDue(Clock::time_point now) {
  if (now >= end_drains_at_) {
    builder_.EndDrains(now);
    end_drains_at_ = now + kEndDrainsEvery;
  }
  if (now >= estimate_at_) {
    estimating_ = true;
    // In even steps, even if this comes a little late.
    estimate_at_ += RateEstimator::kEvery;
    if (estimate_at_ <= now) estimate_at_ = now + RateEstimator::kEvery;
  }
  if (estimating_) {
    const MutexLock lock(mutex_);
    estimating_ = estimates_ && !statistics_.Estimate(target_.own_time ? SIZE_MAX : kEstimatesAtOnce);
  }
  if (now >= empty_trash_at_) {
    EmptyTrash(now);
    empty_trash_at_ = now + kEmptyTrashEvery;
  }
}

void Publisher::Build(const Change& change) {
  if (change.global) builder_.SetGlobal(*change.global);
  for (const auto& [key, spec] : change.services) {
    if (spec) {
      builder_.Put(*spec);
    } else {
      builder_.Delete(key);
    }
    const MutexLock lock(mutex_);
    if (spec) {
      statistics_.Follow(*builder_.Find(key));
    } else {
      statistics_.Forget(key);
    }
  }
  const MutexLock lock(mutex_);
  if (change.global) estimates_ = change.global->settings.run_estimation;
  unbuilt_destinations_ -= change.added_destinations;
  free_destinations_ = target_.destinations->FreeCount();
}

void Publisher::EmptyTrash(Clock::time_point now) {
  const std::vector<SnapshotBuilder::Freed> freed = builder_.EmptyTrash(now);
  if (freed.empty()) return;
  uint64_t generation;
  {
    const MutexLock lock(mutex_);
    for (const SnapshotBuilder::Freed& each : freed) statistics_.Freed(each);
    free_destinations_ = target_.destinations->FreeCount();
    generation = view_.generation;
  }
  Publish(generation);  // steering forgets their endpoints
}

void Publisher::Publish(uint64_t generation) {
  const std::shared_ptr<const Snapshot> snapshot = builder_.Build();
  if (const absl::Status published = target_.publish(snapshot); !published.ok()) {
    std::fprintf(stderr, "sluiced: %s\n", std::string(published.message()).c_str());
  }
  builder_.Published();
  {
    const MutexLock lock(mutex_);
    view_ = {snapshot, generation};
    mutex_.NotifyAll();
  }
  TellRealServers(*snapshot);
}

void Publisher::TellRealServers(const Snapshot& snapshot) {
  std::map<IpAddress, bool> present;  // of those that changed; the last word counts
  for (const EndpointChange& change : snapshot.endpoint_changes) {
    if (change.role == EndpointRole::kRealServer && change.endpoint.protocol == kAnyProtocol)
      present[change.endpoint.address] = change.added;
  }
  if (!present.empty()) target_.keep_resolved(present);
}

}  // namespace sluice
