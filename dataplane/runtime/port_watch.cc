// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/port_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "dataplane/xdp/attachment.h"

namespace sluice {
namespace {

constexpr int kLookEveryMs = 100;
// Events come in crowds.
constexpr int kGatheringMs = 2;

void Say(const std::string& what) { std::fprintf(stderr, "sluiced: %s\n", what.c_str()); }

// Events only say that it is time to look.
void Drain(int events) {
  char ignored[8192];
  while (recv(events, ignored, sizeof ignored, 0) >= 0 || errno == ENOBUFS) {
  }
}

}  // namespace

// Twins begin with a carrier, so all links count as up.
PortWatch::PortWatch(const Setup& setup, std::vector<PortStatus> statuses)
    : setup_(setup), stop_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  for (PortStatus& status : statuses) records_.push_back({.status = std::move(status)});
  generation_ = setup_.table->Get().generation;
  thread_ = std::thread([this] { Run(); });
}

PortWatch::~PortWatch() {
  eventfd_write(stop_fd_, 1);
  thread_.join();
  close(stop_fd_);
}

void PortWatch::Run() {
  const int events = OpenLinkEvents();
  pollfd polled[] = {{stop_fd_, POLLIN, 0}, {events, POLLIN, 0}};
  do {
    if (events >= 0) Drain(events);
    for (size_t port = 0; port < records_.size(); ++port) Look(port);
    poll(polled, 2, kLookEveryMs);
    if (polled[1].revents != 0) poll(polled, 1, kGatheringMs);
  } while (polled[0].revents == 0);
  if (events >= 0) close(events);
}

void PortWatch::Look(size_t port) {
  if (setup_.ports[port]->is_shared()) {
    LookAtInterface(port);
  } else {
    PortStatus now = records_[port].status;
    now.link_up = setup_.ports[port]->LinkUp();
    Note(port, now);
  }
  Record& record = records_[port];
  if (record.link_up == record.status.link_up) return;
  record.link_up = record.status.link_up;
  if (!record.link_up) links_lost_.fetch_add(1, std::memory_order_relaxed);
  setup_.kernel_port->SetCarrier(static_cast<int>(port), record.link_up);
}

// A failed read changes nothing.
void PortWatch::LookAtInterface(size_t port) {
  if (records_[port].status.is_gone) return TakeAgain(port);
  const absl::StatusOr<InterfaceState> now = ReadInterface(records_[port].status.kernel_interface_index);
  if (now.ok()) return Follow(port, *now);
  if (!absl::IsNotFound(now.status())) return;
  Lose(port);
  TakeAgain(port);
}

void PortWatch::Follow(size_t port, const InterfaceState& now) {
  Record& record = records_[port];
  PortStatus status = record.status;
  if (now.program() == 0 && record.attaches.IsDue(Clock::now())) {
    record.attaches.Tried(Clock::now());
    Reattach(now, status);
  }
  const bool is_other = now.program() != 0 && now.program() != setup_.steering->ProgramId(now.index);
  if (is_other && now.program() != status.other_program) {
    status.other_program = now.program();
    status.other_program_name = ProgramName(now.program());
  }
  // The interface is asked again after an attempt.
  const absl::StatusOr<InterfaceState> there = now.program() == 0 ? ReadInterface(now.index) : now;
  if (!there.ok()) return;
  Judge(*there, status);
  const bool has_other_mac = status.mac != record.status.mac;
  Note(port, status);
  if (!has_other_mac) return;
  setup_.steering->SetMac(now.index, status.mac);
  Publish();
  SetInterfaceMac(setup_.kernel_port->tap_interface_index(static_cast<int>(port)), status.mac).IgnoreError();
}

void PortWatch::Reattach(const InterfaceState& now, PortStatus& status) {
  const absl::StatusOr<std::string> mode = setup_.steering->Reattach(now.index);
  if (!mode.ok()) return;
  reattached_.fetch_add(1, std::memory_order_relaxed);
  status.xdp_mode = *mode;
  Say(absl::StrCat("interface ", now.name, " had no XDP program any more: attached again"));
}

void PortWatch::Judge(const InterfaceState& now, PortStatus& status) const {
  status.name = status.kernel_interface = now.name;
  status.mac = now.mac;
  status.link_up = now.link_up;
  status.is_attached = now.program() != 0 && now.program() == setup_.steering->ProgramId(now.index);
  if (status.is_attached) {
    status.trouble.clear();
  } else if (now.program() == 0) {
    status.trouble =
        absl::StrCat("interface ", now.name, " has lost its XDP program: packets are the kernel's");
  } else {
    const bool is_known = now.program() == status.other_program;
    status.trouble = absl::StrCat(
        "interface ", now.name, " has the XDP program \"", is_known ? status.other_program_name : "?",
        "\" (id ", now.program(),
        ") of somebody else, and no packets come to Sluice: stop its owner, or run `ip link set dev ",
        now.name, " xdp off`");
  }
}

// Trouble is said when it begins.
void PortWatch::Note(size_t port, const PortStatus& status) {
  Record& record = records_[port];
  const bool is_news = status.trouble != record.status.trouble;
  if (is_news && !status.trouble.empty()) Say(status.trouble);
  const std::lock_guard lock(mutex_);
  if (is_news && (record.status.trouble.empty() || status.trouble.empty())) record.since = Clock::now();
  record.status = status;
}

void PortWatch::Lose(size_t port) {
  PortStatus status = records_[port].status;
  status.is_gone = true;
  status.is_attached = status.link_up = false;
  status.kernel_interface_index = 0;
  status.name = setup_.ports[port]->name();
  status.trouble = absl::StrCat("interface ", status.kernel_interface, " is gone");
  if (status.name != status.kernel_interface)
    absl::StrAppend(&status.trouble, "; Sluice takes one that is called ", status.name);
  Note(port, status);
  Publish();
  TellListener();
}

void PortWatch::TakeAgain(size_t port) {
  Record& record = records_[port];
  if (!record.takes.IsDue(Clock::now()) || !FindInterface(setup_.ports[port]->name()).ok()) return;
  record.takes.Tried(Clock::now());
  const absl::Status taken = Take(port);
  if (taken.ok()) {
    record.takes.Reset();
    taken_again_.fetch_add(1, std::memory_order_relaxed);
    Say(absl::StrCat("interface ", record.status.name, " is back, and Sluice has it again"));
    return TellListener();
  }
  PortStatus status = record.status;
  status.is_gone = true;
  status.is_attached = status.link_up = false;
  status.kernel_interface_index = 0;
  status.trouble = absl::StrCat("interface ", setup_.ports[port]->name(),
                                " was gone, and is not taken again: ", absl::string_view(taken.message()));
  Note(port, status);
  Publish();
}

// The workers look at its queues before anything comes there.
absl::Status PortWatch::Take(size_t port) {
  Port& opened = *setup_.ports[port];
  setup_.steering->Detach(opened.interface_index());
  if (const absl::Status reopened = opened.Reopen(setup_.steering->StubProgramPath(), setup_.pool);
      !reopened.ok())
    return reopened;
  const absl::StatusOr<InterfaceState> now = ReadInterface(opened.interface_index());
  if (!now.ok()) return now.status();
  PortStatus status = records_[port].status;
  status.is_gone = false;
  status.kernel_interface_index = now->index;
  status.mac = now->mac;
  {
    const std::lock_guard lock(mutex_);
    records_[port].status = status;
  }
  Publish();
  SetInterfaceMac(setup_.kernel_port->tap_interface_index(static_cast<int>(port)), now->mac).IgnoreError();
  std::vector<int> sockets;
  for (const PortQueue& queue : opened.queues()) sockets.push_back(queue.socket);
  const absl::StatusOr<std::string> mode = setup_.steering->Attach(now->index, now->mac, sockets);
  if (!mode.ok()) return mode.status();
  status.xdp_mode = *mode;
  const absl::StatusOr<InterfaceState> attached = ReadInterface(now->index);
  if (attached.ok()) Judge(*attached, status);
  status.mac = now->mac;  // another by now is found by the next look
  Note(port, status);
  return absl::OkStatus();
}

// When this returns no worker uses the queues of an interface that is away.
void PortWatch::Publish() {
  std::vector<bool> away;
  std::vector<MacAddress> macs;
  for (const Record& record : records_) {
    away.push_back(record.status.is_gone);
    macs.push_back(record.status.mac);
  }
  const int workers = static_cast<int>(setup_.table->Get().workers.size());
  const auto before = setup_.table->Exchange(TableOf(setup_.ports, away, macs, workers, ++generation_));
  setup_.grace_period->Wait();
}

std::vector<PortStatus> PortWatch::Statuses() const {
  const std::lock_guard lock(mutex_);
  std::vector<PortStatus> statuses;
  for (size_t port = 0; port < records_.size(); ++port) {
    const Record& record = records_[port];
    PortStatus status = record.status;
    const bool had_trouble = !status.trouble.empty();
    if (!setup_.ports[port]->is_shared()) {
      status.link_up = setup_.ports[port]->LinkUp();
      const absl::StatusOr<InterfaceState> twin = ReadInterface(status.kernel_interface_index);
      if (twin.ok()) status.kernel_interface = twin->name;
    } else if (!status.is_gone) {
      const absl::StatusOr<InterfaceState> now = ReadInterface(status.kernel_interface_index);
      if (now.ok()) Judge(*now, status);
      if (absl::IsNotFound(now.status())) {
        status.is_gone = true;
        status.is_attached = status.link_up = false;
        status.trouble = absl::StrCat("interface ", status.kernel_interface, " is gone");
      }
    }
    if (had_trouble && !status.trouble.empty())
      status.trouble_seconds = std::chrono::duration<double>(Clock::now() - record.since).count();
    statuses.push_back(std::move(status));
  }
  return statuses;
}

std::string PortWatch::NameOf(size_t port) const {
  const std::lock_guard lock(mutex_);
  return records_[port].status.name;
}

int PortWatch::InterfaceOf(size_t port) const {
  const std::lock_guard lock(mutex_);
  return records_[port].status.kernel_interface_index;
}

void PortWatch::SetListener(std::function<void()> listener) {
  const std::lock_guard lock(telling_);
  listener_ = std::move(listener);
}

void PortWatch::TellListener() {
  const std::lock_guard lock(telling_);
  if (listener_) listener_();
}

}  // namespace sluice
