// What the XDP program costs, asked of the kernel with BPF_PROG_TEST_RUN: nanoseconds for a packet that
// passes, and for one that goes to a worker. Every case proves by the program's counters that it is what it
// says. Needs root; works on an interface of a network namespace of its own.
// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <vector>

#include "dataplane/xdp/steer_abi.h"
#include "dataplane/xdp/steering.h"
#include "tests/support/packet_builder.h"

namespace sluice {
namespace {

constexpr int kRepeat = 1'000'000;
constexpr int kRounds = 9;

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint32_t NanosecondsOnce(int program, FrameBytes frame) {
  LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()), .repeat = kRepeat);
  return bpf_prog_test_run_opts(program, &run) == 0 ? run.duration : 0;
}

// A program that lets everything pass: what the test itself costs.
int LoadEmptyProgram() {
  const bpf_insn program[] = {
      {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = XDP_PASS},
      {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0}};
  return bpf_prog_load(BPF_PROG_TYPE_XDP, "empty", "GPL", program, std::size(program), nullptr);
}

// Sorted.
std::vector<uint32_t> Measure(Steering& steering, int program, const FrameBytes& frame) {
  std::vector<uint32_t> times;
  for (int round = 0; round < kRounds; ++round) {
    steering.heartbeat(0)->time_ns = NowNs();
    times.push_back(NanosecondsOnce(program, frame));
  }
  std::sort(times.begin(), times.end());
  return times;
}

int Main() {
  if (unshare(CLONE_NEWNET) != 0 || std::system("ip link add port0 type veth && ip link set port0 up") != 0) {
    std::fprintf(stderr, "steer_bench: needs root\n");
    return 1;
  }
  auto created = Steering::Create({.workers = 1, .heartbeat_limit_ms = 60'000});
  if (!created.ok()) return std::fprintf(stderr, "%s\n", std::string(created.status().message()).c_str()), 1;
  Steering& steering = **created;
  const int interface = static_cast<int>(if_nametoindex("port0"));
  if (!steering.Attach(interface, kMacOfSluice, std::vector<int>()).ok()) return 1;
  steering.SetVlans(interface, std::vector<uint16_t>{8});
  std::vector<EndpointChange> changes;
  const auto add_service = [&](const IpAddress& address) {
    changes.push_back({{address, Be16::FromHost(80), Protocol::kTcp}, EndpointRole::kVirtual, true});
    changes.push_back({{address, Be16{}, Protocol{0}}, EndpointRole::kVirtual, true});
  };
  for (uint32_t i = 1; i <= 10'000; ++i) {
    add_service(IpAddress::FromV4(Be32::FromHost(0x0a630000 + i)));
    IpAddress address = *IpAddress::Parse("fd00:99::");
    address.bytes[14] = static_cast<uint8_t>(i >> 8);
    address.bytes[15] = static_cast<uint8_t>(i);
    add_service(address);
  }
  if (!steering.Apply(changes).ok()) return 1;
  const int program = bpf_prog_get_fd_by_id(steering.ProgramId(interface));

  const Packet other = Packet().From("10.0.0.1", 1000).To("10.0.0.2", 22).Tcp(kTcpAck);
  const Packet other_v6 = Packet().From("fd00:a::1", 1000).To("fd00:a::2", 22).Tcp(kTcpAck);
  const Packet ours = Packet().From("10.0.0.1", 1000).To("10.99.0.1", 80).Tcp(kTcpAck);
  const Packet ours_v6 = Packet().From("fd00:a::1", 1000).To("fd00:99::1", 80).Tcp(kTcpAck);
  const Packet answer = Packet().From("10.99.0.1", 80).To("10.0.0.1", 1000).Tcp(kTcpAck);
  const Packet answer_v6 = Packet().From("fd00:99::1", 80).To("fd00:a::1", 1000).Tcp(kTcpAck);
  const std::pair<const char*, FrameBytes> cases[] = {
      {"passed: ARP", Packet().EtherType(kEtherTypeArp).Bytes()},
      {"passed: TCP of somebody else", other.Bytes()},
      {"passed: TCP of somebody else, tagged", Packet(other).Vlan(8).Bytes()},
      {"passed: TCP of somebody else, IPv6", other_v6.Bytes()},
      // So do the few addresses that share a slot of the program's hints with a service.
      {"passed: TCP to another port of a service's address",
       Packet().From("10.0.0.1", 1000).To("10.99.0.1", 22).Tcp(kTcpAck).Bytes()},
      {"passed: TCP to another port of a service's address, IPv6",
       Packet().From("fd00:a::1", 1000).To("fd00:99::1", 22).Tcp(kTcpAck).Bytes()},
      {"ours: TCP", ours.Bytes()},
      {"ours: TCP, tagged", Packet(ours).Vlan(8).Bytes()},
      {"ours: TCP, IPv6", ours_v6.Bytes()},
      {"ours: a later fragment", Packet(ours).Fragment(100, true).Bytes()},
      {"ours: an ICMP error",
       Packet().From("10.0.9.9", 0).To("10.99.0.1", 0).IcmpErrorAbout(3, 4, 1400, answer.Bytes()).Bytes()},
      {"ours: an ICMP error, IPv6", Packet()
                                        .From("fd00:a::9", 0)
                                        .To("fd00:99::1", 0)
                                        .IcmpErrorAbout(2, 0, 1400, answer_v6.Bytes())
                                        .Bytes()},
  };
  std::printf("10,000 services of each family\n");
  const std::vector<uint32_t> bare = Measure(steering, LoadEmptyProgram(), other.Bytes());
  std::printf("a program of two instructions: %u ns (%u to %u), which is what \"net\" leaves out\n",
              bare[kRounds / 2], bare.front(), bare.back());
  std::printf("| packet | ns, median of %d | net | min | max |\n|---|---|---|---|---|\n", kRounds);
  for (const auto& [name, frame] : cases) {
    const uint64_t ours_before = steering.Counts().no_socket;
    const std::vector<uint32_t> times = Measure(steering, program, frame);
    const bool is_ours = steering.Counts().no_socket > ours_before;
    if (is_ours != (std::string(name).rfind("ours", 0) == 0))
      return std::fprintf(stderr, "not so: %s\n", name), 1;
    const uint32_t middle = times[kRounds / 2];
    std::printf("| %s | %u | %d | %u | %u |\n", name, middle,
                static_cast<int>(middle) - static_cast<int>(bare[kRounds / 2]), times.front(), times.back());
  }
  return 0;
}

}  // namespace
}  // namespace sluice

int main() { return sluice::Main(); }
