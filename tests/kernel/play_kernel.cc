// Plays scenarios against the IPVS of the kernel it runs on. The network is made by guest/init: interface c0
// towards clients, s0 towards servers; this program holds their far ends, c1 and s1.
//   play_kernel SCENARIO...
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "dataplane/net/check.h"
#include "tests/kernel/scenario.h"

namespace sluice {
namespace {

// An emulated machine takes its time; what has not come by then does not come.
constexpr int kPatienceMs = 150;
// The kernel publishes statistics every two seconds.
constexpr int kEstimatorMs = 2500;
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;
constexpr uint8_t kSctp = 132;
constexpr uint8_t kIcmp = 1;
constexpr uint8_t kIpip = 4;
constexpr uint8_t kIpv6 = 41;
constexpr uint8_t kIcmpv6 = 58;
constexpr uint8_t kGre = 47;
constexpr char kSysctls[] = "/proc/sys/net/ipv4/vs/";

bool IsV6(const FrameBytes& frame) { return frame[12] == 0x86 && frame[13] == 0xdd; }
uint8_t ProtocolOf(const FrameBytes& frame) { return frame[IsV6(frame) ? 20 : 23]; }
// Source and destination.
FrameBytes AddressesOf(const FrameBytes& frame) {
  const auto at = frame.begin() + (IsV6(frame) ? 22 : 26);
  return {at, at + (IsV6(frame) ? 32 : 8)};
}

// What a firewall would do: the mark of a packet by its destination.
struct Mark {
  uint32_t mark;
  int protocol;  // 0: any
  uint32_t prefix;
  uint32_t mask;
  int first_port;
  int last_port;

  bool Matches(const FrameBytes& frame) const {
    const uint32_t address =
        uint32_t{frame[30]} << 24 | uint32_t{frame[31]} << 16 | uint32_t{frame[32]} << 8 | frame[33];
    const int port = frame[36] << 8 | frame[37];
    return (protocol == 0 || protocol == frame[23]) && (address & mask) == prefix && port >= first_port &&
           port <= last_port;
  }
};

std::vector<std::string> OutputOf(const std::string& command) {
  std::vector<std::string> lines;
  FILE* pipe = popen(command.c_str(), "r");
  SLUICE_CHECK(pipe != nullptr);
  char line[512];
  while (std::fgets(line, sizeof line, pipe) != nullptr) {
    std::string text = line;
    text.erase(text.find_last_not_of(" \n") + 1);
    lines.push_back(text);
  }
  pclose(pipe);
  return lines;
}

class KernelBalancer final : public Balancer {
 public:
  KernelBalancer() : client_(OpenInterface("c1")), server_(OpenInterface("s1")) {}

  bool Configure(const std::vector<std::string>& words) override {
    std::string command = "ipvsadm";
    for (const std::string& word : words) command += " " + word;
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
  }

  bool SetSysctl(const std::string& name, const std::string& value) override {
    std::ofstream file(kSysctls + name);
    file << value << std::flush;
    return file.good();
  }

  bool AddMark(const std::string& rule) override {
    unsigned mark, a, b, c, d, length;
    char protocol[8];
    int first = 0;
    int last = 65535;
    const int fields = std::sscanf(rule.c_str(), "%u,%7[a-z],%u.%u.%u.%u/%u,%d-%d", &mark, protocol, &a, &b,
                                   &c, &d, &length, &first, &last);
    if (fields < 7) return false;
    if (fields == 8) last = first;
    const std::string name = protocol;
    marks_.push_back({mark,
                      name == "tcp"    ? kTcp
                      : name == "udp"  ? kUdp
                      : name == "sctp" ? kSctp
                                       : 0,
                      a << 24 | b << 16 | c << 8 | d, length == 0 ? 0 : ~uint32_t{0} << (32 - length), first,
                      last});
    return true;
  }

  Arrival Send(const FrameBytes& frame, bool from_client) override {
    Drain();
    SetMark(frame, from_client);
    SLUICE_CHECK(send(from_client ? client_ : server_, frame.data(), frame.size(), 0) ==
                 static_cast<ssize_t>(frame.size()));
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
    while (true) {
      const auto rest =
          std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      pollfd polled[] = {{client_, POLLIN, 0}, {server_, POLLIN, 0}};
      if (rest <= 0 || poll(polled, 2, static_cast<int>(rest)) <= 0) return {"nowhere", {}};
      for (int i = 0; i < 2; ++i) {
        FrameBytes received = Receive(polled[i].fd);
        if (received.empty()) continue;
        // What answers a client on the client's own side is the host itself; so is what routes a packet as it
        // was.
        const bool as_it_was = AddressesOf(received) == AddressesOf(frame);
        const bool is_answer = i == 0 && from_client;
        const bool is_icmp = ProtocolOf(received) == kIcmp || ProtocolOf(received) == kIcmpv6;
        if (is_answer && is_icmp) return {"client", received};
        if (is_answer || (as_it_was && !from_client)) return {"host", {}};
        return {i == 0 ? "client" : "server", received};
      }
    }
  }

  void Wait(double seconds) override { usleep(static_cast<useconds_t>(seconds * 1e6)); }

  std::vector<std::string> Connections(bool with_expiry) override {
    std::vector<std::string> lines;
    for (const std::string& line : OutputOf("ipvsadm -Lnc")) {
      std::istringstream words(line);
      std::string protocol, expire, state, source, virtual_address, destination;
      words >> protocol >> expire >> state >> source >> virtual_address >> destination;
      if (expire.find(':') == std::string::npos || destination.empty()) continue;
      std::string text = protocol + " " + state + " " + source + " " + virtual_address + " " + destination;
      // What is left is cut to whole seconds, and a little of it has passed.
      const int seconds = std::atoi(expire.c_str()) * 60 + std::atoi(expire.c_str() + expire.find(':') + 1);
      if (with_expiry) text += " " + std::to_string(seconds + 1);
      lines.push_back(text);
    }
    return lines;
  }

  std::vector<std::string> Table(TableKind kind) override {
    static const char* const kCommands[] = {"ipvsadm -Ln", "ipvsadm -Ln --persistent-conn",
                                            "ipvsadm -Ln --stats --exact", "ipvsadm -Ln --rate --exact"};
    if (kind == TableKind::kStatistics) usleep(kEstimatorMs * 1000);
    if (kind == TableKind::kRates) Align();
    std::vector<std::string> lines;
    for (const std::string& line : OutputOf(kCommands[static_cast<int>(kind)])) {
      const bool title =
          line.starts_with("IP Virtual") || line.starts_with("Prot") || line.starts_with("  -> Remote");
      if (!title) lines.push_back(line);
    }
    return lines;
  }

  // Averages change at every estimation, once there was traffic.
  void Align() override {
    const std::vector<std::string> before = OutputOf("cat /proc/net/ip_vs_stats");
    for (int i = 0; i < kEstimatorMs && OutputOf("cat /proc/net/ip_vs_stats") == before; i += 20)
      usleep(20'000);
  }

 private:
  static int OpenInterface(const char* name) {
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(name));
    SLUICE_CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  // A packet that came in here; empty: nothing of interest.
  static FrameBytes Receive(int fd) {
    FrameBytes frame(2048);
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const ssize_t size =
        recvfrom(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 34 || from.sll_pkttype == PACKET_OUTGOING) return {};
    frame.resize(static_cast<size_t>(size));
    if (!IsV6(frame) && (frame[12] != 0x08 || frame[13] != 0x00)) return {};
    static constexpr uint8_t kOfInterest[] = {kTcp, kUdp, kSctp, kIcmp, kIpip, kIpv6, kGre, kIcmpv6};
    const uint8_t protocol = ProtocolOf(frame);
    if (std::find(std::begin(kOfInterest), std::end(kOfInterest), protocol) == std::end(kOfInterest))
      return {};
    constexpr uint8_t kFirstOfNoError = 128;  // neighbour discovery and its like
    if (protocol == kIcmpv6 && frame[54] >= kFirstOfNoError) return {};
    return frame;
  }
  void SetMark(const FrameBytes& frame, bool from_client) {
    uint32_t mark = 0;
    for (const Mark& each : marks_) {
      if (mark == 0 && from_client && !IsV6(frame) && each.Matches(frame)) mark = each.mark;
    }
    SLUICE_CHECK(setsockopt(client_, SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0);
  }
  void Drain() {
    for (const int fd : {client_, server_}) {
      char rest[2048];
      while (recv(fd, rest, sizeof rest, 0) > 0) {
      }
    }
  }

  const int client_;
  const int server_;
  std::vector<Mark> marks_;
};

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i]);
    std::stringstream text;
    text << file.rdbuf();
    sluice::KernelBalancer balancer;
    std::printf("=== %s\n%s", argv[i], sluice::Play(text.str(), balancer).c_str());
    std::fflush(stdout);
    // Not a trace of one scenario in the next: connections live as long as their module.
    if (std::system("ipvsadm -C && /bin/fresh_ipvs && /sbin/ip route flush cache") != 0) return 1;
  }
  return 0;
}
