// SPDX-License-Identifier: Apache-2.0
#include "control/options.h"

#include <functional>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "control/translate.h"

namespace sluice {

const char kUsage[] =
    R"(sluiced: layer-4 load balancer, forwards packets in user space as Linux IPVS does in the kernel

  sluiced --interface NAME [--interface NAME ...] [options]

Where packets come from:
  --interface NAME          share this interface with the kernel over AF_XDP; repeatable
  --port DEVICE             a device of Sluice's own: a PCI address, 0000:03:00.0, or any DPDK device, as
                            "net_tap0,iface=x"; repeatable
  --mtu N                   largest packet that the devices of --port take (1500)
  --eal=ARGUMENT            passed on to DPDK's EAL; repeatable
  --no-huge                 do not use hugepages even if the system has some

Work:
  --workers N               threads that forward packets, each on a CPU of its own (1)
  --cpus LIST               their CPUs, as 2,3 (the last that this process may use)
  --poll=idle|always        idle: a worker without packets sleeps on its sockets; always: never (idle)
  --connections N           room for connections, per worker (1048576)
  --templates N             room for persistence templates (262144)
  --heartbeat-limit-ms N    a worker that was silent for so long stands still (100); under load it allows itself up to 2000

When Sluice does not forward:
  --kernel-ipvs=auto|mirror|off  mirror: the kernel's own IPVS has the same services; auto: if the kernel has IPVS and
                            nobody else programs it (auto)
  --adopt=yes|no            at the start, connections that the kernel has become Sluice's, and those that were saved (yes)
  --on-stall=auto|pass|drop packets while a worker stands still: to the kernel, or dropped, so that TCP sends them again;
                            auto: to a kernel that has the services and connections (auto)
  --strict-arp=yes|no       yes: the host answers ARP for an address only where it has it, so not for the services', which
                            are on sluice-ipvs0: routers then need routes to them (no)
  --kernel-ipvs-exclude PREFIX  services of these addresses are somebody else's in the kernel; repeatable
  --sync-policy=all|packets:N|seconds:N|none  which connections the kernel is told of, so that they go on there: all, those
                            with so many packets of the client's, those that have lived for so long (all)
  --kernel-ipvs-resync-seconds N  how often it is looked at whether somebody changed them there (30)

Control:
  --listen unix:PATH        where gRPC listens (unix:/run/sluice/sluiced.sock)
  --listen-tls ADDRESS:PORT the same over TCP: only with TLS, and for clients with a certificate
  --tls-cert FILE, --tls-key FILE, --tls-client-ca FILE
                            this host's certificate and its key, and the authorities of clients' ones; PEM; read again
                            when they change
  --tls-role NAME=read|write|all  how much the client may do whose certificate has this name; repeatable. Once there is
                            one, clients without a role may do nothing; without any, all clients may do all
  --max-requests-per-second N  of all clients together; more are refused (5000)
  --max-streams N           lists and watches that may be open at a time (24)
  --config FILE             services to start with: sluice.v1.Config as JSON or text format
  --state FILE|none         where the configuration is kept for the next start (/var/lib/sluice/state)
  --metrics ADDRESS:PORT|none  where /metrics, /healthz, /livez and /readyz answer (127.0.0.1:9909)
  --help, --version
)";

namespace {

absl::StatusOr<int64_t> Number(const std::string& option, const std::string& value, int64_t least,
                               int64_t most) {
  int64_t number;
  if (!absl::SimpleAtoi(value, &number) || number < least || number > most) {
    return absl::InvalidArgumentError(absl::StrCat(option, " ", value, ": must be ", least, "..", most));
  }
  return number;
}

template <class T>
absl::Status SetNumber(const std::string& option, const std::string& value, int64_t least, int64_t most,
                       T& to) {
  const absl::StatusOr<int64_t> number = Number(option, value, least, most);
  if (number.ok()) to = static_cast<T>(*number);
  return number.status();
}

absl::Status SetCpus(const std::string& value, std::vector<int>& cpus) {
  cpus.clear();
  for (const absl::string_view part : absl::StrSplit(value, ',')) {
    const absl::StatusOr<int64_t> cpu = Number("--cpus", std::string(part), 0, 1023);
    if (!cpu.ok()) return cpu.status();
    cpus.push_back(static_cast<int>(*cpu));
  }
  return absl::OkStatus();
}

absl::Status SetPoll(const std::string& value, bool& always) {
  if (value != "idle" && value != "always")
    return absl::InvalidArgumentError(absl::StrCat("--poll=", value, ": must be idle or always"));
  always = value == "always";
  return absl::OkStatus();
}

absl::Status SetSyncPolicy(const std::string& value, SyncPolicy& policy) {
  if (value == "all" || value == "none") {
    policy = {.which = value == "all" ? SyncPolicy::Which::kAll : SyncPolicy::Which::kNone};
    return absl::OkStatus();
  }
  uint32_t number = 0;
  if (absl::string_view rest = value; absl::ConsumePrefix(&rest, "packets:") &&
                                      absl::SimpleAtoi(rest, &number) && number >= 1 && number <= 1'000'000) {
    policy = {.packets = number, .which = SyncPolicy::Which::kPackets};
    return absl::OkStatus();
  }
  if (absl::string_view rest = value; absl::ConsumePrefix(&rest, "seconds:") &&
                                      absl::SimpleAtoi(rest, &number) && number >= 1 && number <= 3600) {
    policy = {.seconds = static_cast<uint16_t>(number), .which = SyncPolicy::Which::kLong};
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--sync-policy=", value, ": must be all, none, packets:N (1..1000000) or seconds:N (1..3600)"));
}

absl::Status SetYesOrNo(const std::string& option, const std::string& value, bool& target) {
  if (value != "yes" && value != "no")
    return absl::InvalidArgumentError(absl::StrCat(option, "=", value, ": must be yes or no"));
  target = value == "yes";
  return absl::OkStatus();
}

absl::Status SetOnStall(const std::string& value, OnStall& on_stall) {
  if (value != "auto" && value != "pass" && value != "drop")
    return absl::InvalidArgumentError(absl::StrCat("--on-stall=", value, ": must be auto, pass or drop"));
  on_stall = value == "auto" ? OnStall::kAuto : value == "pass" ? OnStall::kPass : OnStall::kDrop;
  return absl::OkStatus();
}

absl::Status SetKernelIpvs(const std::string& value, KernelIpvsUse& use) {
  if (value != "auto" && value != "mirror" && value != "off")
    return absl::InvalidArgumentError(absl::StrCat("--kernel-ipvs=", value, ": must be auto, mirror or off"));
  use = value == "auto"     ? KernelIpvsUse::kAuto
        : value == "mirror" ? KernelIpvsUse::kMirror
                            : KernelIpvsUse::kOff;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  DataplaneOptions& dataplane = options.dataplane;
  using Setter = std::function<absl::Status(const std::string&)>;
  const auto append = [](std::vector<std::string>& to) {
    return Setter([&to](const std::string& value) { return to.push_back(value), absl::OkStatus(); });
  };
  const auto text = [](std::string& to) {
    return Setter([&to](const std::string& value) { return to = value, absl::OkStatus(); });
  };
  const auto text_or_none = [](std::string& to) {
    return Setter(
        [&to](const std::string& value) { return to = value == "none" ? "" : value, absl::OkStatus(); });
  };
  const std::map<std::string, Setter> with_value = {
      {"--interface", append(dataplane.interfaces)},
      {"--port", append(dataplane.devices)},
      {"--mtu",
       [&](const std::string& value) { return SetNumber("--mtu", value, 1280, 9600, dataplane.device_mtu); }},
      {"--eal", append(dataplane.eal_arguments)},
      {"--workers",
       [&](const std::string& value) { return SetNumber("--workers", value, 1, 64, dataplane.workers); }},
      {"--cpus", [&](const std::string& value) { return SetCpus(value, dataplane.cpus); }},
      {"--poll", [&](const std::string& value) { return SetPoll(value, dataplane.poll_always); }},
      {"--connections",
       [&](const std::string& value) {
         return SetNumber("--connections", value, 1024, 1 << 28, dataplane.connections_per_worker);
       }},
      {"--templates",
       [&](const std::string& value) {
         return SetNumber("--templates", value, 1024, 1 << 26, dataplane.templates);
       }},
      {"--heartbeat-limit-ms",
       [&](const std::string& value) {
         return SetNumber("--heartbeat-limit-ms", value, 40, 60000, dataplane.heartbeat_limit_ms);
       }},
      {"--listen", text(options.grpc.listen)},
      {"--listen-tls", text(options.grpc.tls_address)},
      {"--tls-cert", text(options.grpc.tls_certificate)},
      {"--tls-key", text(options.grpc.tls_key)},
      {"--tls-client-ca", text(options.grpc.tls_client_ca)},
      {"--tls-role", [&](const std::string& value) { return options.roles.Add(value); }},
      {"--kernel-ipvs", [&](const std::string& value) { return SetKernelIpvs(value, options.kernel_ipvs); }},
      {"--kernel-ipvs-exclude",
       [&](const std::string& value) {
         if (!ParsePrefix(value))
           return absl::InvalidArgumentError(
               absl::StrCat("--kernel-ipvs-exclude ", value, ": must be a prefix, as 10.99.0.0/24"));
         return options.kernel_ipvs_excluded.push_back(value), absl::OkStatus();
       }},
      {"--kernel-ipvs-resync-seconds",
       [&](const std::string& value) {
         return SetNumber("--kernel-ipvs-resync-seconds", value, 1, 86400,
                          options.kernel_ipvs_resync_seconds);
       }},
      {"--on-stall", [&](const std::string& value) { return SetOnStall(value, options.on_stall); }},
      {"--adopt", [&](const std::string& value) { return SetYesOrNo("--adopt", value, options.adopt); }},
      {"--strict-arp",
       [&](const std::string& value) { return SetYesOrNo("--strict-arp", value, options.strict_arp); }},
      {"--sync-policy", [&](const std::string& value) { return SetSyncPolicy(value, options.sync_policy); }},
      {"--max-requests-per-second",
       [&](const std::string& value) {
         return SetNumber("--max-requests-per-second", value, 10, 1'000'000, options.requests_per_second);
       }},
      {"--max-streams",
       [&](const std::string& value) { return SetNumber("--max-streams", value, 1, 1000, options.streams); }},
      {"--config", text(options.config_file)},
      {"--state", text_or_none(options.state_file)},
      {"--metrics", text_or_none(options.metrics)},
  };
  const std::map<std::string, std::function<void()>> without_value = {
      {"--no-huge", [&] { dataplane.use_hugepages = false; }},
      {"--help", [&] { options.help = true; }},
      {"-h", [&] { options.help = true; }},
      {"--version", [&] { options.version = true; }},
  };
  for (size_t i = 0; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string name = arguments[i].substr(0, equals);
    if (const auto flag = without_value.find(name);
        flag != without_value.end() && equals == std::string::npos) {
      flag->second();
      continue;
    }
    const auto setter = with_value.find(name);
    if (setter == with_value.end())
      return absl::InvalidArgumentError(
          absl::StrCat(arguments[i], ": is not an option of sluiced; see sluiced --help"));
    std::string value;
    if (equals != std::string::npos) {
      value = arguments[i].substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::InvalidArgumentError(absl::StrCat(name, ": needs a value; see sluiced --help"));
    }
    if (const absl::Status set = setter->second(value); !set.ok()) return set;
  }
  if (!options.help && !options.version && dataplane.interfaces.empty() && dataplane.devices.empty()) {
    return absl::InvalidArgumentError(
        "nothing to receive packets from: name an --interface or a --port; see sluiced --help");
  }
  return options;
}

}  // namespace sluice
