// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/sync_master.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "control/ipvs/sync_plan.h"
#include "control/translate.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr char kGroup[] = "224.0.0.81";
constexpr uint16_t kPort = 8848;
constexpr char kOwnAddress[] = "169.254.88.48";  // only so that messages have a source
constexpr auto kEvery = 1ms;
constexpr auto kEveryWithoutNews = 5ms;
constexpr auto kEveryNearASwitch = 200us;
// While so few updates come in a window, half-open connections are told of, too, and a crash breaks none of
// them. In a flood the kernel had better not hear of them.
constexpr auto kWindow = 100ms;
constexpr size_t kFewInWindow = 400;
constexpr auto kLookForDaemonEvery = 1s;  // in vain, twice as seldom each time, until
constexpr auto kLookForDaemonSeldom = 60s;
constexpr auto kTemplatesEvery = 2s;
// A burst of connections must fit into the daemon's buffer, which is as large as it was when it began.
constexpr int kBufferBytes = 4 * 1024 * 1024;

// As large as the system allows; more where we may say so.
void EnlargeBuffers() {
  const auto raise = [](const char* path) {
    long now = 0;
    std::ifstream(path) >> now;
    if (now < kBufferBytes) std::ofstream(path) << kBufferBytes;
  };
  raise("/proc/sys/net/core/rmem_max");
  raise("/proc/sys/net/ipv4/vs/sync_sock_size");
}

// Whether messages wait in the socket of the kernel's daemon.
bool IsUnread() {
  in_addr group{};
  inet_pton(AF_INET, kGroup, &group);
  const std::string name = absl::StrFormat("%08X:%04X", group.s_addr, kPort);
  std::ifstream sockets("/proc/net/udp");
  std::string line;
  while (std::getline(sockets, line)) {
    std::istringstream words(line);
    std::string slot, local, remote, state, queues;
    words >> slot >> local >> remote >> state >> queues;
    const size_t colon = queues.find(':');  // "00000000:00000300": to be sent, to be read
    if (local == name && colon != std::string::npos &&
        queues.find_first_not_of('0', colon + 1) != std::string::npos)
      return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SyncMaster>> SyncMaster::Start(const Options& options, Dataplane& dataplane) {
  std::unique_ptr<SyncMaster> master(new SyncMaster(options, dataplane));
  absl::StatusOr<std::unique_ptr<KernelIpvs>> ipvs = KernelIpvs::Open();
  if (!ipvs.ok()) return ipvs.status();
  master->ipvs_ = *std::move(ipvs);
  absl::StatusOr<std::unique_ptr<DummyInterface>> interface = DummyInterface::Open(options.interface);
  if (!interface.ok()) return interface.status();
  master->interface_ = *std::move(interface);
  EnlargeBuffers();
  if (const absl::Status listening = master->HaveDaemon(); !listening.ok()) return listening;
  {
    const MutexLock lock(master->mutex_);
    master->SetPolicy();
  }
  dataplane.SetSyncListener(master.get());
  master->thread_ = std::thread([raw = master.get()] { raw->Run(); });
  return master;
}

SyncMaster::~SyncMaster() {
  stop_.store(true);
  if (thread_.joinable()) thread_.join();
  dataplane_.SetSyncPolicy({});
  dataplane_.SetSyncListener(nullptr);
  if (socket_ >= 0) close(socket_);
}

// Workers send, too, at any moment: the new one takes the place of the old under its number.
absl::Status SyncMaster::OpenSocket() {
  const int opened = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (opened < 0) return absl::ErrnoToStatus(errno, "a socket for sync messages");
  ip_mreqn membership{};
  membership.imr_ifindex = static_cast<int>(if_nametoindex(options_.interface.c_str()));
  const uint8_t loop = 1;
  sockaddr_in group{};
  group.sin_family = AF_INET;
  group.sin_port = htons(kPort);
  inet_pton(AF_INET, kGroup, &group.sin_addr);
  absl::Status ready;
  if (setsockopt(opened, IPPROTO_IP, IP_MULTICAST_IF, &membership, sizeof membership) != 0 ||
      setsockopt(opened, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop) != 0 ||
      connect(opened, reinterpret_cast<const sockaddr*>(&group), sizeof group) != 0 ||
      (socket_ >= 0 && dup3(opened, socket_, O_CLOEXEC) < 0))
    ready = absl::ErrnoToStatus(errno, absl::StrCat("sync messages over ", options_.interface));
  if (socket_ < 0 && ready.ok()) {
    socket_ = opened;
  } else {
    close(opened);
  }
  if (ready.ok()) interface_index_ = membership.imr_ifindex;
  return ready;
}

void SyncMaster::LookAtDaemon(Clock::time_point now) {
  if (now < look_at_) return;
  const absl::Status ready = HaveDaemon();
  look_after_ = ready.ok() ? Clock::duration(kLookForDaemonEvery)
                           : std::min<Clock::duration>(2 * look_after_, kLookForDaemonSeldom);
  look_at_ = now + look_after_;
  const std::string complaint(ready.message());
  if (!complaint.empty() && complaint != last_complaint_)
    std::fprintf(stderr, "sluiced: kernel IPVS: %s\n", complaint.c_str());
  last_complaint_ = complaint;
}

absl::Status SyncMaster::HaveDaemon() {
  absl::StatusOr<std::vector<KernelDaemon>> daemons = ipvs_->Daemons();
  if (!daemons.ok()) return daemons.status();
  const KernelDaemon ours{.interface = options_.interface, .sync_id = options_.sync_id};
  const SyncPlan plan =
      PlanSync(ours, {.interface_index = static_cast<int>(if_nametoindex(options_.interface.c_str())),
                      .sends_over = interface_index_,
                      .is_broken = is_broken_,
                      .daemons = *std::move(daemons)});
  if (!plan.problem.empty()) return absl::AlreadyExistsError(plan.problem);
  if (plan.makes_interface) {
    const absl::Status made = interface_->SetAddresses({*IpAddress::Parse(kOwnAddress)}).status();
    if (!made.ok()) return made;
  }
  for (const KernelDaemon& daemon : plan.stops) {
    if (const absl::Status stopped = ipvs_->StopDaemon(daemon); !stopped.ok()) return stopped;
  }
  if (plan.starts) {
    const absl::Status started = ipvs_->StartDaemon(ours);
    if (!started.ok())
      return absl::Status(started.code(), absl::StrCat("the kernel's backup daemon: ", started.message()));
  }
  if (plan.opens_socket) {
    if (const absl::Status open = OpenSocket(); !open.ok()) return open;
    is_broken_ = false;
  }
  if (!plan.starts) return absl::OkStatus();
  const MutexLock lock(mutex_);
  ++wanted_tellings_;
  return absl::OkStatus();
}

void SyncMaster::TellAll() {
  if (paused_.load()) return;
  const MutexLock lock(mutex_);
  const uint64_t telling = ++wanted_tellings_;
  while (done_tellings_ < telling && !stop_.load()) mutex_.WaitUntil(Clock::now() + 100ms);
}

void SyncMaster::TellHalfOpen() {
  if (paused_.load()) return;
  const MutexLock lock(mutex_);
  is_switch_near_.store(true);
  SetPolicy();
  half_open_wanted_ = true;
  while (half_open_wanted_ && !stop_.load()) mutex_.WaitUntil(Clock::now() + 100ms);
}

void SyncMaster::TellTheRest() {
  const MutexLock lock(mutex_);
  // The one that is under way may have looked before.
  const uint64_t enough = rounds_ + 2;
  while (rounds_ < enough && !stop_.load()) mutex_.WaitUntil(Clock::now() + 100ms);
}

void SyncMaster::WaitUntilRead() const {
  for (int tries = 0; tries < 1000 && IsUnread(); ++tries) std::this_thread::sleep_for(1ms);
}

void SyncMaster::SetPaused(bool paused) {
  const MutexLock lock(mutex_);
  paused_.store(paused);
  is_switch_near_.store(false);
  SetPolicy();
}

void SyncMaster::SetPolicy() {
  SyncPolicy policy = paused_.load() ? SyncPolicy{} : options_.policy;
  policy.half_open = !paused_.load() &&
                     (is_switch_near_.load() || (is_calm_.load() && policy.which == SyncPolicy::Which::kAll));
  dataplane_.SetSyncPolicy(policy);
}

// A flood ends the calm at once; a whole window without one begins it again.
void SyncMaster::Judge(Clock::time_point round, size_t updates) {
  in_window_ += updates;
  const bool is_over = round >= window_end_;
  const bool is_calm = in_window_ <= kFewInWindow && (is_over || is_calm_.load());
  if (is_over) {
    window_end_ = round + kWindow;
    in_last_window_ = std::exchange(in_window_, 0);
  }
  if (is_calm == is_calm_.load()) return;
  const MutexLock lock(mutex_);
  is_calm_.store(is_calm);
  SetPolicy();
}

absl::Status SyncMaster::StopDaemon() {
  stop_.store(true);
  thread_.join();
  return ipvs_->StopDaemon({.interface = options_.interface, .sync_id = options_.sync_id});
}

void SyncMaster::Describe(v1::KernelMirror& mirror) const {
  v1::SyncDaemon& daemon = *mirror.mutable_sync_daemon();
  daemon.set_interface(options_.interface);
  daemon.set_sync_id(options_.sync_id);
  daemon.set_max_length(SyncMessage::kMostBytes);
  daemon.set_group(kGroup);
  daemon.set_port(kPort);
  daemon.set_ttl(1);
  mirror.set_told_connections(told_.load(std::memory_order_relaxed));
  mirror.set_unsent_sync_messages(unsent_.load(std::memory_order_relaxed));
  mirror.set_told_all(told_all_.load(std::memory_order_relaxed));
  mirror.set_untold_connections(dataplane_.LostUpdates());
}

void SyncMaster::Run() {
  look_after_ = kLookForDaemonEvery;
  look_at_ = Clock::now() + look_after_;
  Clock::time_point templates_at{};
  std::vector<SyncUpdate> updates;
  while (!stop_.load()) {
    const Clock::time_point round = Clock::now();
    LookAtDaemon(round);
    uint64_t wanted = 0;
    bool half_open = false;
    {
      const MutexLock lock(mutex_);
      half_open = half_open_wanted_;
      if (wanted_tellings_ > done_tellings_ && !paused_.load()) wanted = wanted_tellings_;
    }
    updates.clear();
    dataplane_.TakeUpdates(options_.records_per_second / 100, updates);
    for (const SyncUpdate& update : updates) Send(update);
    Judge(round, updates.size() + told_at_once_.exchange(0));
    if (wanted != 0) {
      told_all_.fetch_add(1, std::memory_order_relaxed);
      told_templates_.clear();
      SendConnections(/*half_open=*/false);
    }
    if (half_open) SendConnections(/*half_open=*/true);
    if (wanted != 0 || (round >= templates_at && !paused_.load())) {
      SendTemplates();
      templates_at = round + kTemplatesEvery;
    }
    SendMessage();
    {
      const MutexLock lock(mutex_);
      ++rounds_;
      done_tellings_ = std::max(done_tellings_, wanted);
      if (half_open) half_open_wanted_ = false;
      mutex_.NotifyAll();
    }
    const bool is_news = in_window_ + in_last_window_ > 0;
    std::this_thread::sleep_until(round + (is_switch_near_.load() ? Clock::duration(kEveryNearASwitch)
                                           : is_news              ? Clock::duration(kEvery)
                                                                  : Clock::duration(kEveryWithoutNews)));
  }
}

void SyncMaster::SendConnections(bool half_open) {
  dataplane_.ListUpdates(half_open, [&](std::span<const SyncUpdate> updates) {
    for (const SyncUpdate& update : updates) Send(update);
    return !stop_.load();
  });
}

void SyncMaster::Send(const SyncUpdate& update) {
  if (message_.Add(update)) return;
  SendMessage();
  message_.Add(update);
}

// Costs the worker some microseconds: a connection of which nobody knows would break in a crash.
bool SyncMaster::Tell(const SyncUpdate& update) {
  if (!is_calm_.load(std::memory_order_relaxed) || told_at_once_.fetch_add(1) >= kFewInWindow) return false;
  SyncMessage message(options_.sync_id);
  message.Add(update);
  const std::span<const uint8_t> bytes = message.Bytes();
  if (send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT) < 0)
    return false;  // then it waits for its turn
  told_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// Not faster than the kernel takes them.
void SyncMaster::SendMessage() {
  if (message_.empty()) return;
  std::this_thread::sleep_until(next_message_);
  next_message_ = std::max(next_message_, Clock::now() - kEveryWithoutNews) +
                  std::chrono::nanoseconds(1'000'000'000ull * static_cast<uint64_t>(message_.records()) /
                                           options_.records_per_second);
  const std::span<const uint8_t> bytes = message_.Bytes();
  const auto try_again = [](int error) { return error == ENOBUFS || error == EAGAIN || error == EINTR; };
  ssize_t sent = send(socket_, bytes.data(), bytes.size(), 0);
  for (int tries = 0; tries < 100 && sent < 0 && try_again(errno); ++tries) {
    std::this_thread::sleep_for(1ms);
    sent = send(socket_, bytes.data(), bytes.size(), 0);
  }
  if (sent < 0) {
    unsent_.fetch_add(1, std::memory_order_relaxed);
    is_broken_ = true;  // everything is told again once it works
  } else {
    told_.fetch_add(static_cast<uint64_t>(message_.records()), std::memory_order_relaxed);
  }
  message_.Clear();
}

// Those that have changed since they were told of.
void SyncMaster::SendTemplates() {
  std::map<TemplateName, uint64_t> present;
  dataplane_.ListTemplateUpdates([&](const SyncUpdate& update, uint64_t version) {
    const TemplateName name = {update.client, update.virtual_address, update.virtual_port.raw,
                               static_cast<uint8_t>(update.protocol)};
    const auto told = told_templates_.find(name);
    if (told == told_templates_.end() || told->second != version) Send(update);
    present[name] = version;
  });
  told_templates_ = std::move(present);
}

}  // namespace sluice
