// In the guest: asks the kernel's IPVS where it sends the packets of hash_cases.h, and prints what
// expect_hashes prints. Every case is a service of a mark with one-packet scheduling, so that every packet is
// scheduled, whatever its destination.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "dataplane/net/check.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "tests/kernel/hash_cases.h"

namespace sluice {
namespace {

constexpr uint32_t kMark = 5;
constexpr int kAtOnce = 200;
// What has not come by then does not come: a packet for which there is no server.
constexpr int kPatienceMs = 60;
constexpr uint16_t kEtherTypes[2] = {0x0800, 0x86dd};
constexpr size_t kIpHeader[2] = {20, 40};
constexpr size_t kPayload = 4;  // the number of the packet

int OpenInterface(const char* name, uint16_t ether_type) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ether_type));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ether_type);
  address.sll_ifindex = static_cast<int>(if_nametoindex(name));
  const int room = 8 << 20;
  SLUICE_CHECK(fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  SLUICE_CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) == 0);
  SLUICE_CHECK(setsockopt(fd, SOL_SOCKET, SO_MARK, &kMark, sizeof kMark) == 0);
  return fd;
}

// IPVS does not verify checksums; UDP's is anything but zero.
std::vector<uint8_t> Frame(const HashCase& hash_case, uint32_t number) {
  const FlowKey flow = HashPacket(hash_case, number);
  const size_t header = kIpHeader[hash_case.is_v6];
  const auto udp_length = static_cast<uint16_t>(sizeof(UdpHeader) + kPayload);
  std::vector<uint8_t> frame(sizeof(EthernetHeader) + header + udp_length);
  auto& ethernet = *reinterpret_cast<EthernetHeader*>(frame.data());
  ethernet.destination = MacAddress{{0x02, 0, 0, 0, 0, 0x01}};
  ethernet.source = MacAddress{{0x02, 0, 0, 0, 0, 0xc1}};
  ethernet.ether_type = Be16::FromHost(kEtherTypes[hash_case.is_v6]);
  uint8_t* ip = frame.data() + sizeof ethernet;
  if (hash_case.is_v6) {
    ip[0] = 0x60;
    ip[5] = static_cast<uint8_t>(udp_length);
    ip[6] = static_cast<uint8_t>(Protocol::kUdp);
    ip[7] = 64;
    std::memcpy(ip + 8, flow.source.bytes.data(), 16);
    std::memcpy(ip + 24, flow.destination.bytes.data(), 16);
  } else {
    auto& v4 = *reinterpret_cast<Ipv4Header*>(ip);
    v4.version_and_length = 0x45;
    v4.total_length = Be16::FromHost(static_cast<uint16_t>(header + udp_length));
    v4.time_to_live = 64;
    v4.protocol = static_cast<uint8_t>(Protocol::kUdp);
    v4.source = flow.source.V4();
    v4.destination = flow.destination.V4();
    v4.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&v4, sizeof v4)));
  }
  auto& udp = *reinterpret_cast<UdpHeader*>(ip + header);
  udp.source_port = flow.source_port;
  udp.destination_port = flow.destination_port;
  udp.length = Be16::FromHost(udp_length);
  udp.checksum = 0x1234;
  std::memcpy(ip + header + sizeof udp, &number, kPayload);
  return frame;
}

void Configure(const HashCase& hash_case) {
  std::string flags;
  if (hash_case.with_port) flags = hash_case.scheduler + "-port";
  if (hash_case.with_fallback) flags += (flags.empty() ? "" : ",") + hash_case.scheduler + "-fallback";
  const std::string service = "-f " + std::to_string(kMark) + (hash_case.is_v6 ? " -6" : "");
  std::string script = "ipvsadm -C && ipvsadm -A " + service + " -o -s " + hash_case.scheduler +
                       (flags.empty() ? "" : " -b " + flags);
  for (int i = 1; i <= static_cast<int>(HashCase::Weights().size()); ++i) {
    const std::string address = hash_case.is_v6 ? "[" + hash_case.Server(i) + "]" : hash_case.Server(i);
    script += " && ipvsadm -a " + service + " -r " + address + ":" + std::to_string(kHashPort) + " -m -w " +
              std::to_string(HashCase::Weights()[static_cast<size_t>(i - 1)]);
  }
  SLUICE_CHECK(std::system(script.c_str()) == 0);
}

// Fills in where packets went, until all have arrived or none does any more.
void Collect(int fd, const HashCase& hash_case, std::string& answers, int missing) {
  const size_t header = kIpHeader[hash_case.is_v6];
  pollfd polled{fd, POLLIN, 0};
  while (missing > 0 && poll(&polled, 1, kPatienceMs) > 0) {
    uint8_t frame[256];
    sockaddr_ll from{};
    socklen_t from_length = sizeof from;
    const ssize_t length =
        recvfrom(fd, frame, sizeof frame, 0, reinterpret_cast<sockaddr*>(&from), &from_length);
    const size_t needed = sizeof(EthernetHeader) + header + sizeof(UdpHeader) + kPayload;
    if (length < static_cast<ssize_t>(needed) || from.sll_pkttype == PACKET_OUTGOING) continue;
    const uint8_t* ip = frame + sizeof(EthernetHeader);
    const uint8_t protocol = hash_case.is_v6 ? ip[6] : ip[9];
    if (protocol != static_cast<uint8_t>(Protocol::kUdp)) continue;
    uint32_t number;
    std::memcpy(&number, ip + header + sizeof(UdpHeader), kPayload);
    if (number >= answers.size()) continue;
    const uint8_t server = hash_case.is_v6 ? ip[39] : ip[19];
    answers[number] = static_cast<char>('0' + server);
    --missing;
  }
}

std::string Ask(const HashCase& hash_case) {
  const int client = OpenInterface("c1", kEtherTypes[hash_case.is_v6]);
  const int server = OpenInterface("s1", kEtherTypes[hash_case.is_v6]);
  std::string answers(kPacketsPerCase, '-');
  for (uint32_t first = 0; first < kPacketsPerCase; first += kAtOnce) {
    for (uint32_t number = first; number < first + kAtOnce; ++number) {
      const std::vector<uint8_t> frame = Frame(hash_case, number);
      SLUICE_CHECK(send(client, frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size()));
    }
    Collect(server, hash_case, answers, kAtOnce);
  }
  close(client);
  close(server);
  return answers;
}

}  // namespace
}  // namespace sluice

int main() {
  for (const sluice::HashCase& each : sluice::HashCases()) {
    sluice::Configure(each);
    std::printf("%s\n%s\n", each.name.c_str(), sluice::Ask(each).c_str());
    std::fflush(stdout);
  }
  return 0;
}
