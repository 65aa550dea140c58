// Plays scenarios against the IPVS of the kernel it runs on. The network is made by guest/init: interface c0
// towards clients, s0 towards servers; this program holds their far ends, c1 and s1.
//   play_kernel SCENARIO...
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
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
constexpr size_t kAddresses = 26;  // of IPv4, in a frame
constexpr uint8_t kTcp = 6;
constexpr uint8_t kUdp = 17;

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

  Arrival Send(const FrameBytes& frame, bool from_client) override {
    Drain();
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
        const bool as_it_was = std::equal(received.begin() + kAddresses, received.begin() + kAddresses + 8,
                                          frame.begin() + kAddresses);
        if ((i == 0 && from_client) || as_it_was) return {"host", {}};
        return {i == 0 ? "client" : "server", received};
      }
    }
  }

  void Wait(double seconds) override { usleep(static_cast<useconds_t>(seconds * 1e6)); }

  std::vector<std::string> Connections() override {
    std::vector<std::string> lines;
    for (const std::string& line : OutputOf("ipvsadm -Lnc")) {
      std::istringstream words(line);
      std::string protocol, expire, state, source, virtual_address, destination;
      words >> protocol >> expire >> state >> source >> virtual_address >> destination;
      if (protocol != "TCP" && protocol != "UDP") continue;
      lines.push_back(protocol + " " + state + " " + source + " " + virtual_address + " " + destination);
    }
    return lines;
  }

  std::vector<std::string> Table(bool statistics) override {
    if (statistics) usleep(kEstimatorMs * 1000);
    std::vector<std::string> lines;
    for (const std::string& line : OutputOf(statistics ? "ipvsadm -Ln --stats --exact" : "ipvsadm -Ln")) {
      const bool title =
          line.starts_with("IP Virtual") || line.starts_with("Prot") || line.starts_with("  -> Remote");
      if (!title) lines.push_back(line);
    }
    return lines;
  }

 private:
  static int OpenInterface(const char* name) {
    const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(0x0800));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(0x0800);
    address.sll_ifindex = static_cast<int>(if_nametoindex(name));
    SLUICE_CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
  }

  // A TCP or UDP packet that came in here; empty: nothing of interest.
  static FrameBytes Receive(int fd) {
    FrameBytes frame(2048);
    sockaddr_ll from{};
    socklen_t length = sizeof from;
    const ssize_t size =
        recvfrom(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (size < 34 || from.sll_pkttype == PACKET_OUTGOING) return {};
    frame.resize(static_cast<size_t>(size));
    if (frame[23] != kTcp && frame[23] != kUdp) return {};
    return frame;
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
    if (std::system("ipvsadm -C && /bin/fresh_ipvs") != 0) return 1;
  }
  return 0;
}
