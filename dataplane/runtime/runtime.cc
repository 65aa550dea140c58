// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/runtime.h"
#include "dataplane/runtime/pci_device.h"

#include <net/if.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "dataplane/net/memory_room.h"
#include "dataplane/runtime/eal.h"
#include "dataplane/runtime/packet_pool.h"

namespace sluice {
namespace {

// For each queue: what the driver posts for receiving, what may wait for transmission, and some on the way.
constexpr int kPacketsPerQueue = 3 * 2048;
constexpr int kPacketsBesides = 8192;
constexpr int kMegabytesBesides = 64;

// The connection itself, its place in the table, the free list, the timer wheel and the eviction lists.
constexpr uint64_t kBytesPerConnection = 64 + 26 + 4 + 8 + 8;
// The template itself, its hash chain's head, the free list, the age lists and the timer wheel.
constexpr uint64_t kReserveBytes = uint64_t{64} << 20;  // for the moment when memory is short
constexpr uint64_t kBytesPerTemplate = sizeof(Template) + 8 + 4 + 8 + 8;

// Address space is reserved without being used: tables by destination and of workers, IPv6's addresses. A
// refusal here is better than one half-way, when interfaces are taken.
absl::Status CheckAddressSpace(uint64_t needed, int workers) {
  constexpr uint64_t kPerDestination = 256;
  const uint64_t of_workers =
      (sizeof(StatisticsLine) + sizeof(Worker::Tunnel)) * static_cast<uint64_t>(workers);
  const uint64_t reserved = 2 * needed + kMaxDestinations * (kPerDestination + of_workers) + kReserveBytes;
  void* trial = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (trial == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat(reserved >> 20, " MB of address space are needed, and refused: ", std::strerror(errno),
                     "; allow more (ulimit -v), or ask for fewer --connections and --templates"));
  }
  munmap(trial, reserved);
  return absl::OkStatus();
}

absl::Status CheckMemory(const DataplaneOptions& options) {
  const uint64_t needed =
      kBytesPerConnection * options.connections_per_worker * static_cast<uint64_t>(options.workers) +
      kBytesPerTemplate * options.templates;
  const MemoryRoom room = RoomForMemory();
  if (needed > room.bytes / 10 * 9) {
    return absl::InvalidArgumentError(
        absl::StrCat("--connections ", options.connections_per_worker, " for ", options.workers,
                     " workers and --templates ", options.templates, " take ", needed >> 20,
                     " MB when full, and ", room.limit, " leaves ", room.bytes >> 20));
  }
  return CheckAddressSpace(needed, options.workers);
}

int PacketsFor(int queues) { return queues * kPacketsPerQueue + kPacketsBesides; }

// 2 KiB of data, headroom, and the pool's own words.
int MegabytesFor(int queues) { return PacketsFor(queues) * 5 / 2 / 1024 + kMegabytesBesides; }

// Workers take the last of the allowed CPUs: the first tends to have the interrupts.
absl::StatusOr<std::vector<int>> ChooseCpus(const DataplaneOptions& options) {
  const std::vector<int> allowed = AllowedCpus();
  if (!options.cpus.empty()) {
    if (static_cast<int>(options.cpus.size()) != options.workers) {
      return absl::InvalidArgumentError(absl::StrCat("--cpus names ", options.cpus.size(), " CPUs for ",
                                                     options.workers, " workers: name one for each"));
    }
    for (const int cpu : options.cpus) {
      if (std::find(allowed.begin(), allowed.end(), cpu) == allowed.end()) {
        return absl::InvalidArgumentError(absl::StrCat("--cpus: this process may not run on CPU ", cpu));
      }
    }
    return options.cpus;
  }
  if (options.workers > static_cast<int>(allowed.size())) {
    return absl::InvalidArgumentError(absl::StrCat("--workers ", options.workers, ": only ", allowed.size(),
                                                   " CPUs are allowed to this process"));
  }
  return std::vector<int>(allowed.rbegin(), allowed.rbegin() + options.workers);
}

absl::Status CheckPermission() {
  const int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (fd < 0 && errno == EPERM) {
    return absl::PermissionDeniedError(
        "not permitted to open AF_XDP sockets: run as root, or with CAP_NET_ADMIN, CAP_NET_RAW, "
        "CAP_SYS_ADMIN and "
        "CAP_IPC_LOCK");
  }
  if (fd < 0) return absl::ErrnoToStatus(errno, "this kernel has no AF_XDP sockets");
  close(fd);
  return absl::OkStatus();
}

int RunLoop(void* loop) {
  static_cast<WorkerLoop*>(loop)->Run();
  return 0;
}

}  // namespace

absl::Status Dataplane::Runtime::Start(const DataplaneOptions& options) {
  absl::Status status = Check(options);
  if (status.ok()) status = OpenPorts(options);
  if (status.ok()) status = OpenKernelPort();
  if (status.ok()) status = MakeWorkers(options);
  if (status.ok()) status = Launch();
  if (status.ok()) status = AttachSteering();
  return status;
}

// All that can be known before DPDK is started, and anything changed.
absl::Status Dataplane::Runtime::Check(const DataplaneOptions& options) {
  eal_arguments_ = options.eal_arguments;
  const size_t port_count = options.interfaces.size() + options.devices.size();
  if (port_count == 0) return absl::InvalidArgumentError("no port: name at least one --interface or --port");
  if (port_count > kMaxPorts)
    return absl::InvalidArgumentError(absl::StrCat(port_count, " ports: at most ", kMaxPorts));
  if (options.workers < 1 || options.workers > kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers ", options.workers, ": must be 1..", kMaxWorkers));
  }
  if (const absl::Status memory = CheckMemory(options); !memory.ok()) return memory;
  MemoryReserve::Hold(kReserveBytes);
  if (!options.interfaces.empty()) {
    if (const absl::Status permitted = CheckPermission(); !permitted.ok()) return permitted;
  }
  for (const std::string& interface : options.interfaces) {
    if (std::count(options.interfaces.begin(), options.interfaces.end(), interface) > 1) {
      return absl::InvalidArgumentError(absl::StrCat("--interface ", interface, " is given twice"));
    }
    const absl::StatusOr<int> queues = InterfaceQueues(interface);
    if (!queues.ok()) return queues.status();
    if (*queues < options.workers) {
      return absl::InvalidArgumentError(
          absl::StrCat("interface ", interface, " has ", *queues, " queues for ", options.workers,
                       " workers, and each worker needs one: use fewer --workers, or `ethtool -L`"));
    }
    queues_of_interface_.push_back(*queues);
    queue_count_ += *queues;
  }
  for (const std::string& device : options.devices) {
    const std::optional<std::string> pci = PciAddress(device);
    if (!pci) continue;
    if (const absl::Status usable = CheckPciDevice(*pci); !usable.ok()) return usable;
    eal_arguments_.insert(eal_arguments_.end(), {"-a", *pci});
  }
  queue_count_ += static_cast<int>(options.devices.size()) * options.workers;
  if (queue_count_ > RTE_MAX_ETHPORTS) {
    return absl::InvalidArgumentError(absl::StrCat("the ports have ", queue_count_, " queues, at most ",
                                                   RTE_MAX_ETHPORTS,
                                                   " are possible: reduce them with `ethtool -L`"));
  }
  return absl::OkStatus();
}

absl::Status Dataplane::Runtime::OpenPorts(const DataplaneOptions& options) {
  const absl::StatusOr<std::vector<int>> cpus = ChooseCpus(options);
  if (!cpus.ok()) return cpus.status();
  if (!options.interfaces.empty()) {
    absl::StatusOr<std::unique_ptr<Steering>> created =
        Steering::Create({.workers = options.workers, .heartbeat_limit_ms = options.heartbeat_limit_ms});
    if (!created.ok()) return created.status();
    steering = *std::move(created);
  }
  const int megabytes = MegabytesFor(queue_count_);
  const absl::Status started =
      StartEal({.worker_cpus = *cpus,
                .hugepages = options.use_hugepages && FreeHugepageMegabytes() >= megabytes,
                .megabytes = megabytes,
                .extra = eal_arguments_});
  if (!started.ok()) return started;
  clock = std::make_unique<Clock>();
  const absl::StatusOr<rte_mempool*> created_pool = CreatePacketPool(
      "packets", static_cast<unsigned>(PacketsFor(queue_count_)), !options.interfaces.empty());
  if (!created_pool.ok()) return created_pool.status();
  pool = *created_pool;
  for (const std::string& interface : options.interfaces) {
    const std::string stub = steering->StubProgramPath();
    absl::StatusOr<std::unique_ptr<Port>> port = Port::OpenInterface(interface, stub, pool);
    if (!port.ok()) return port.status();
    ports.push_back(*std::move(port));
  }
  for (const std::string& device : options.devices) {
    absl::StatusOr<std::unique_ptr<Port>> port =
        Port::OpenDevice(PciAddress(device).value_or(device), options.workers, options.device_mtu, pool);
    if (!port.ok()) return port.status();
    ports.push_back(*std::move(port));
  }
  return absl::OkStatus();
}

absl::Status Dataplane::Runtime::OpenKernelPort() {
  std::vector<KernelPort::Twin> twins;
  std::vector<int> port_of_dpdk_port(RTE_MAX_ETHPORTS, 0);
  int dedicated = 0;
  for (size_t i = 0; i < ports.size(); ++i) {
    const Port& port = *ports[i];
    for (const PortQueue& queue : port.queues()) port_of_dpdk_port[queue.dpdk_port] = static_cast<int>(i);
    const std::string name =
        port.is_shared() ? absl::StrCat("slk", port.interface_index()) : absl::StrCat("sluice", dedicated++);
    twins.push_back({.tap_name = name, .mac = port.mac(), .mtu = port.mtu(), .dedicated = !port.is_shared()});
  }
  absl::StatusOr<std::unique_ptr<KernelPort>> opened = KernelPort::Open(twins, port_of_dpdk_port, pool);
  if (!opened.ok()) return opened.status();
  kernel_port = *std::move(opened);
  return absl::OkStatus();
}

absl::Status Dataplane::Runtime::MakeWorkers(const DataplaneOptions& options) {
  const HashSecret secret = HashSecret::Random();
  std::vector<uint16_t> numbers(RTE_MAX_ETHPORTS);
  std::vector<Port*> all;
  std::vector<MacAddress> macs;
  for (const auto& port : ports) {
    for (const PortQueue& queue : port->queues())
      numbers[queue.dpdk_port] = static_cast<uint16_t>(all.size());
    all.push_back(port.get());
    macs.push_back(port->mac());
  }
  const auto empty = port_table.Exchange(
      TableOf(all, std::vector<bool>(all.size()), macs, options.workers, /*generation=*/1));
  grace_period = std::make_unique<GracePeriod>(options.workers);
  absl::StatusOr<std::unique_ptr<Handoff>> created = Handoff::Create(options.workers);
  if (!created.ok()) return created.status();
  handoff = *std::move(created);
  const Jiffies now = Clock::ToJiffies(clock->Nanoseconds());
  persistence = std::make_unique<PersistenceTable>(options.templates, secret, now, destinations);
  for (int index = 0; index < options.workers; ++index) {
    WorkerLoop::Setup setup{.ports = &port_table,
                            .snapshot = &snapshot,
                            .forwarding = &forwarding,
                            .steers = &steers,
                            .sync_policy = &sync_policy,
                            .sync_listener = &sync_listener,
                            .grace_period = grace_period.get(),
                            .handoff = handoff.get(),
                            .kernel_port = kernel_port.get(),
                            .clock = clock.get(),
                            .heartbeat = steering == nullptr ? nullptr : steering->heartbeat(index),
                            .may_sleep = !options.poll_always && options.devices.empty()};
    for (size_t i = 0; i < ports.size(); ++i) {
      if (!ports[i]->is_shared() && index == 0) setup.dedicated_ports.push_back(static_cast<int>(i));
    }
    workers.push_back(
        std::make_unique<Worker>(Worker::Setup{.index = index,
                                               .workers = options.workers,
                                               .connection_capacity = options.connections_per_worker,
                                               .secret = secret,
                                               .now = now,
                                               .destinations = &destinations,
                                               .persistence = persistence.get(),
                                               .port_macs = port_table.Get().macs,
                                               .port_numbers = numbers}));
    workers.back()->Use(snapshot.Get(), forwarding.Get());
    loops.push_back(std::make_unique<WorkerLoop>(setup, *workers.back()));
  }
  return absl::OkStatus();
}

absl::Status Dataplane::Runtime::Launch() {
  launched_ = true;
  for (size_t i = 0; i < loops.size(); ++i) {
    if (rte_eal_remote_launch(RunLoop, loops[i].get(), static_cast<unsigned>(i + 1)) != 0) {
      return absl::InternalError(absl::StrCat("worker ", i, " cannot be started"));
    }
  }
  return absl::OkStatus();
}

absl::Status Dataplane::Runtime::AttachSteering() {
  std::vector<PortStatus> statuses;
  std::vector<Port*> all;
  for (size_t i = 0; i < ports.size(); ++i) {
    const Port& port = *ports[i];
    PortStatus status{.name = port.name(),
                      .driver = port.driver(),
                      .kernel_interface = port.name(),
                      .mac = port.mac(),
                      .queues = static_cast<int>(port.queues().size()),
                      .is_attached = true,
                      .spreading = workers.size() == 1
                                       ? "one worker"
                                       : absl::StrCat(port.spreading(), ", then over a ring if need be")};
    if (!port.is_shared()) {
      DescribeDevice(i, status);
    } else if (const absl::Status attached = AttachTo(port, status); !attached.ok()) {
      return absl::Status(attached.code(), absl::StrCat("interface ", port.name(), ": ", attached.message()));
    }
    statuses.push_back(status);
    all.push_back(ports[i].get());
  }
  port_watch = std::make_unique<PortWatch>(PortWatch::Setup{.ports = all,
                                                            .kernel_port = kernel_port.get(),
                                                            .steering = steering.get(),
                                                            .grace_period = grace_period.get(),
                                                            .table = &port_table,
                                                            .pool = pool},
                                           std::move(statuses));
  return absl::OkStatus();
}

absl::Status Dataplane::Runtime::AttachTo(const Port& port, PortStatus& status) {
  std::vector<int> sockets;
  for (const PortQueue& queue : port.queues()) sockets.push_back(queue.socket);
  const absl::StatusOr<std::string> mode = steering->Attach(port.interface_index(), port.mac(), sockets);
  if (!mode.ok()) return mode.status();
  status.xdp_mode = *mode;
  status.kernel_interface_index = port.interface_index();
  return absl::OkStatus();
}

void Dataplane::Runtime::DescribeDevice(size_t port, PortStatus& status) {
  char name[IF_NAMESIZE] = "";
  status.kernel_interface_index = kernel_port->tap_interface_index(static_cast<int>(port));
  status.kernel_interface =
      if_indextoname(static_cast<unsigned>(status.kernel_interface_index), name) == nullptr ? "" : name;
}

// First the packets are the kernel's, then the workers end, then ports and memory go.
Dataplane::Runtime::~Runtime() {
  port_watch.reset();
  for (const auto& port : ports) {
    if (steering != nullptr && port->is_shared()) steering->Detach(port->interface_index());
  }
  if (launched_) {
    for (const auto& loop : loops) loop->Stop();
    for (size_t i = 0; i < loops.size(); ++i) {
      handoff->Wake(static_cast<int>(i));
      rte_eal_wait_lcore(static_cast<unsigned>(i + 1));
    }
  }
  kernel_port.reset();  // its thread uses the pool
  handoff.reset();
  const bool has_sockets =
      std::any_of(ports.begin(), ports.end(), [](const auto& port) { return port->is_shared(); });
  ports.clear();
  loops.clear();
  workers.clear();  // fragments that wait are in the pool's buffers
  // Sockets that stay open until the process ends have its memory.
  if (!has_sockets) rte_mempool_free(pool);
}

}  // namespace sluice
