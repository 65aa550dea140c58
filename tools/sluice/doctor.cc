// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/doctor.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

// With room for the XDP headroom, a packet must fit into a page.
constexpr long kMostXdpMtu = 3498;

// Drivers whose interfaces run XDP programs before the kernel makes its own packets of them.
const std::set<std::string> kNativeXdpDrivers = {
    "bnxt_en", "ena",       "fec", "gve",  "i40e", "ice",         "igb", "igc",  "ixgbe",      "ixgbevf",
    "mlx4_en", "mlx5_core", "nfp", "qede", "sfc",  "thunder-nic", "tun", "veth", "virtio_net", "vmxnet3"};

class Doctor {
 public:
  Doctor(const Machine& machine, const DoctorOptions& options) : machine_(machine), options_(options) {}

  std::vector<Finding> Examine() {
    Kernel();
    Capabilities();
    Memory();
    Processors();
    WayBack();
    KubernetesSettings();
    ReversePath("all");
    for (const std::string& trouble : options_.troubles)
      Bad(absl::StrCat("sluiced says: ", trouble), "sluice status shows all ports");
    for (const std::string& interface : options_.interfaces) Interface(interface);
    for (const std::string& device : options_.pci_devices) PciDevice(device);
    return findings_;
  }

 private:
  void Good(std::string what) { findings_.push_back({Health::kGood, std::move(what), ""}); }
  void Better(std::string what, std::string mend) {
    findings_.push_back({Health::kCouldBeBetter, std::move(what), std::move(mend)});
  }
  void Bad(std::string what, std::string mend) {
    findings_.push_back({Health::kBad, std::move(what), std::move(mend)});
  }

  void Kernel() {
    const std::string release = machine_.Read("/proc/sys/kernel/osrelease").value_or("unknown");
    char* rest = nullptr;
    const long major = std::strtol(release.c_str(), &rest, 10);
    const long minor = *rest == '.' ? std::strtol(rest + 1, nullptr, 10) : 0;
    if (major > 5 || (major == 5 && minor >= 11)) {
      Good(absl::StrCat("kernel ", release));
    } else {
      Bad(absl::StrCat("kernel ", release, " is too old: AF_XDP with Sluice's program needs 5.11"),
          "install a newer kernel; Debian 12 has 6.1");
    }
  }

  void Capabilities() {
    struct Needed {
      int bit;
      const char* name;
    };
    constexpr Needed kNeeded[] = {
        {12, "CAP_NET_ADMIN"}, {13, "CAP_NET_RAW"}, {14, "CAP_IPC_LOCK"}, {21, "CAP_SYS_ADMIN"}};
    uint64_t effective = 0;
    std::istringstream status(machine_.Read("/proc/self/status").value_or(""));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("CapEff:")) effective = std::strtoull(line.c_str() + 7, nullptr, 16);
    }
    std::vector<std::string> missing;
    for (const Needed& each : kNeeded) {
      if (!(effective >> each.bit & 1)) missing.emplace_back(each.name);
    }
    if (missing.empty()) return Good("permissions");
    Bad(absl::StrCat("not permitted: ", absl::StrJoin(missing, ", ")),
        "run sluiced as root, or give it these");
  }

  void Memory() {
    const long free =
        machine_.ReadNumber("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").value_or(0);
    if (free > 0) {
      Good(absl::StrCat(free, " free hugepages of 2 MB"));
    } else {
      Better("no free hugepages: packet buffers are in ordinary pages, which costs some speed",
             "echo 256 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    }
    const std::string mode = machine_.Read("/sys/kernel/mm/transparent_hugepage/enabled").value_or("");
    if (mode.find("[never]") == std::string::npos)
      return Good("transparent hugepages for the connection table");
    Better("transparent hugepages are off: every lookup in a large connection table misses the TLB",
           "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
  }

  void Processors() {
    const std::string isolated = machine_.Read("/sys/devices/system/cpu/isolated").value_or("");
    if (!isolated.empty())
      return Good(absl::StrCat("CPUs ", isolated, " are isolated: give them with --cpus"));
    Better("no CPU is isolated: other processes take turns with the workers",
           "boot with isolcpus=, nohz_full= and rcu_nocbs= for the workers' CPUs, and use --cpus");
  }

  // What the kernel needs to take over.
  void WayBack() {
    const std::string release = machine_.Read("/proc/sys/kernel/osrelease").value_or("");
    const bool is_module = machine_.Read(absl::StrCat("/lib/modules/", release, "/modules.dep"))
                               .value_or("")
                               .find("/ip_vs.ko") != std::string::npos;
    if (machine_.Has("/proc/net/ip_vs")) {
      Good("the kernel's IPVS is loaded");
    } else if (is_module) {
      Good("the kernel has IPVS as a module");
    } else {
      Better("this kernel has no IPVS: without Sluice nobody balances", "use a kernel with the module ip_vs");
    }
    for (const char* path : {"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"}) {
      if (!machine_.Has(path) || machine_.ReadNumber(path).value_or(0) != 0) continue;
      Better(absl::StrCat(path, " is 0: the kernel cannot take over connections that are forwarded"),
             absl::StrCat("echo 1 > ", path));
    }
  }

  // What sluiced sets itself where it may.
  void KubernetesSettings() {
    const bool is_node =
        machine_.Has("/var/lib/kubelet") || machine_.Has("/run/secrets/kubernetes.io/serviceaccount");
    if (!is_node || !machine_.Has("/proc/sys/net/ipv4/vs")) return;
    constexpr std::pair<const char*, const char*> kSettings[] = {
        {"conntrack", "connections through the kernel's IPVS cannot be masqueraded"},
        {"expire_nodest_conn", "in the kernel, clients of an endpoint that has gone wait for a timeout"},
        {"expire_quiescent_template", "in the kernel, clients stay with an endpoint that is terminating"}};
    for (const auto& [name, what] : kSettings) {
      const std::string path = absl::StrCat("/proc/sys/net/ipv4/vs/", name);
      if (machine_.ReadNumber(path).value_or(0) == 1) continue;
      Better(absl::StrCat(path, " is not 1: ", what), absl::StrCat("echo 1 > ", path));
    }
  }

  void ReversePath(const std::string& interface) {
    const std::string path = absl::StrCat("/proc/sys/net/ipv4/conf/", interface, "/rp_filter");
    if (machine_.ReadNumber(path).value_or(0) != 1) return;
    Bad(absl::StrCat(path, " is 1: the kernel drops packets that Sluice hands to it over its tap interface"),
        absl::StrCat("echo 2 > ", path));
  }

  void Interface(const std::string& name) {
    const std::string folder = absl::StrCat("/sys/class/net/", name);
    if (!machine_.Has(folder))
      return Bad(absl::StrCat("there is no interface ", name), "ip link shows which there are");
    if (machine_.Read(folder + "/operstate").value_or("") == "down")
      Bad(absl::StrCat(name, " is down"), absl::StrCat("ip link set dev ", name, " up"));
    Queues(name, folder);
    const InterfaceProbe probe = options_.probe ? options_.probe(name) : InterfaceProbe{};
    const std::string driver = machine_.LinkName(folder + "/device/driver").value_or(probe.driver);
    if (kNativeXdpDrivers.contains(driver)) {
      Good(absl::StrCat(name, ": driver ", driver, ", XDP in the driver"));
    } else {
      Better(absl::StrCat(name, ": driver ", driver.empty() ? "none" : driver,
                          " is not known to run XDP itself: it is done later, and slower"),
             "nothing need be done; another NIC would be faster");
    }
    const long mtu = machine_.ReadNumber(folder + "/mtu").value_or(1500);
    if (mtu > kMostXdpMtu) {
      Bad(absl::StrCat(name, ": MTU ", mtu, " is more than AF_XDP can take, ", kMostXdpMtu),
          absl::StrCat("ip link set dev ", name, " mtu ", kMostXdpMtu));
    }
    ReversePath(name);
    Node(name, folder + "/device/numa_node");
    const bool ours = absl::StartsWith(probe.xdp_program, "sluice_");
    if (!probe.xdp_program.empty() && !ours) {
      Bad(absl::StrCat(name, " has the XDP program \"", probe.xdp_program, "\" (id ", probe.xdp_program_id,
                       ") of somebody else"),
          absl::StrCat("stop its owner, or: ip link set dev ", name, " xdp off"));
    }
    if (probe.strips_vlans) Vlans(name, folder);
    if (options_.workers > 1 && !probe.can_spread) {
      Better(absl::StrCat(name,
                          " cannot spread packets over its queues by a hash: they change worker over a ring"),
             "nothing need be done; counters peer_given and peer_taken show how many");
    }
  }

  // A frame without its tag looks as if it were of no VLAN, to the XDP program and to the worker.
  void Vlans(const std::string& name, const std::string& folder) {
    bool has_vlans = false;
    for (const std::string& entry : machine_.List(folder)) {
      constexpr size_t kPrefix = sizeof("upper_") - 1;
      has_vlans |=
          entry.starts_with("upper_") && machine_.Has(absl::StrCat("/proc/net/vlan/", entry.substr(kPrefix)));
    }
    const std::string what = absl::StrCat(
        name, " takes VLAN tags out of frames before Sluice sees them: those of every VLAN look untagged");
    const std::string mend = absl::StrCat("ethtool -K ", name, " rxvlan off");
    has_vlans ? Bad(what, mend) : Better(what, mend);
  }

  void Queues(const std::string& name, const std::string& folder) {
    long queues = 0;
    for (const std::string& queue : machine_.List(folder + "/queues")) queues += queue.starts_with("rx-");
    if (queues >= options_.workers)
      return Good(absl::StrCat(name, ": ", queues, " receive queue", queues == 1 ? "" : "s"));
    Bad(absl::StrCat(name, " has ", queues, " receive queues for ", options_.workers, " workers"),
        absl::StrCat("ethtool -L ", name, " combined ", options_.workers));
  }

  // Workers take the last of the CPUs, unless --cpus says otherwise.
  void Node(const std::string& name, const std::string& path) {
    const long node = machine_.ReadNumber(path).value_or(-1);
    const std::vector<std::string> nodes = machine_.List("/sys/devices/system/node");
    const auto count = std::count_if(nodes.begin(), nodes.end(), [](const std::string& each) {
      return each.starts_with("node") && each.find_first_not_of("0123456789", 4) == std::string::npos;
    });
    if (node < 0 || count < 2) return;
    const std::string cpus =
        machine_.Read(absl::StrCat("/sys/devices/system/node/node", node, "/cpulist")).value_or("?");
    Better(
        absl::StrCat(name, " is at NUMA node ", node, ": workers elsewhere reach it over the interconnect"),
        absl::StrCat("start sluiced with --cpus of ", cpus));
  }

  void PciDevice(const std::string& device) {
    const std::string folder = absl::StrCat("/sys/bus/pci/devices/", device);
    if (!machine_.Has(folder))
      return Bad(absl::StrCat("there is no PCI device ", device), "lspci -D shows them");
    const std::string driver = machine_.LinkName(folder + "/driver").value_or("none");
    if (driver == "vfio-pci" || driver == "mlx5_core" || driver == "uio_pci_generic") {
      Good(absl::StrCat(device, ": driver ", driver));
    } else {
      Bad(absl::StrCat(device, " is bound to the driver ", driver, ": DPDK cannot have it"),
          absl::StrCat("modprobe vfio-pci; echo vfio-pci > ", folder, "/driver_override; echo ", device,
                       " > ", folder, "/driver/unbind; echo ", device, " > /sys/bus/pci/drivers_probe"));
    }
    const bool has_iommu = !machine_.List("/sys/class/iommu").empty();
    const bool may_do_without =
        machine_.Read("/sys/module/vfio/parameters/enable_unsafe_noiommu_mode").value_or("N") == "Y";
    if (has_iommu) return Good("an IOMMU");
    if (may_do_without) {
      return Better("vfio without an IOMMU: a fault of the device can reach all memory",
                    "boot with intel_iommu=on or amd_iommu=on if the machine has one");
    }
    Bad("no IOMMU: vfio-pci will not give the device away",
        "boot with intel_iommu=on or amd_iommu=on, or: echo Y > "
        "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
  }

  const Machine& machine_;
  const DoctorOptions& options_;
  std::vector<Finding> findings_;
};

}  // namespace

std::optional<std::string> Machine::Read(const std::string& path) const {
  std::ifstream file(root_ + path);
  if (!file) return std::nullopt;
  std::ostringstream text;
  text << file.rdbuf();
  std::string result = text.str();
  while (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

std::optional<long> Machine::ReadNumber(const std::string& path) const {
  const std::optional<std::string> text = Read(path);
  if (!text) return std::nullopt;
  char* end = nullptr;
  const long number = std::strtol(text->c_str(), &end, 10);
  return end == text->c_str() ? std::nullopt : std::optional(number);
}

bool Machine::Has(const std::string& path) const {
  std::error_code ignored;
  return fs::exists(root_ + path, ignored);
}

std::vector<std::string> Machine::List(const std::string& folder) const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(root_ + folder, error), end; !error && at != end; at.increment(error))
    names.push_back(at->path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<std::string> Machine::LinkName(const std::string& path) const {
  std::error_code error;
  const fs::path target = fs::read_symlink(root_ + path, error);
  return error ? std::nullopt : std::optional(target.filename().string());
}

std::vector<Finding> Examine(const Machine& machine, const DoctorOptions& options) {
  return Doctor(machine, options).Examine();
}

}  // namespace sluice
