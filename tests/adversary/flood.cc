// Floods an interface with frames of a stranger's, as fast as is asked for, over AF_PACKET.
//   flood INTERFACE GATEWAY_MAC KIND ADDRESS:PORT RATE SECONDS SEED
//     KIND: syn       a SYN from another source each time
//           half      a SYN, and an ACK whose checksum is wrong
//           handshake a SYN, and an ACK that is right, as if the server had answered
//           udp       one datagram of each source, which a server may echo
//           stray     an ACK out of nowhere
//   flood INTERFACE GATEWAY_MAC frames FILE COUNT RATE SEED
//     The frames of a file (each behind its length, four bytes, little-endian): first as they are, then bent,
//     each time in another way. GATEWAY_MAC takes the place of their destination unless that is a group.
// Sources are of 10.128.0.0/9. Prints: sent N seconds S
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Bytes = std::vector<uint8_t>;
constexpr unsigned kBatch = 32;
constexpr size_t kLargest = 1514;

using Mac = std::array<uint8_t, 6>;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "flood: %s\n", what.c_str());
  std::exit(2);
}

Mac ParseMac(const char* text) {
  Mac mac;
  unsigned parts[6];
  if (std::sscanf(text, "%x:%x:%x:%x:%x:%x", parts, parts + 1, parts + 2, parts + 3, parts + 4, parts + 5) !=
      6)
    Die(std::string(text) + ": must be a MAC address");
  for (size_t i = 0; i < 6; ++i) mac[i] = static_cast<uint8_t>(parts[i]);
  return mac;
}

// The interface, from which batches of frames leave.
class Link {
 public:
  explicit Link(const char* name) : socket_(socket(AF_PACKET, SOCK_RAW, 0)) {
    sockaddr_ll where{.sll_family = AF_PACKET, .sll_ifindex = static_cast<int>(if_nametoindex(name))};
    if (socket_ < 0 || where.sll_ifindex == 0 ||
        bind(socket_, reinterpret_cast<sockaddr*>(&where), sizeof where) != 0)
      Die(std::string(name) + ": " + std::strerror(errno));
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(socket_, SIOCGIFHWADDR, &request) == 0) std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, 6);
    const int on = 1;
    setsockopt(socket_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
  }
  ~Link() { close(socket_); }

  void Send(std::vector<Bytes>& frames) {
    mmsghdr messages[kBatch]{};
    iovec parts[kBatch];
    for (size_t i = 0; i < frames.size(); ++i) {
      parts[i] = {frames[i].data(), frames[i].size()};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    for (unsigned sent = 0; sent < frames.size();) {
      const int more = sendmmsg(socket_, messages + sent, static_cast<unsigned>(frames.size()) - sent, 0);
      sent += more > 0 ? static_cast<unsigned>(more) : 1;  // what the link does not take is lost
    }
  }

  Mac mac{};

 private:
  int socket_;
};

uint16_t Sum(const void* bytes, size_t length, uint32_t sum = 0) {
  const auto* at = static_cast<const uint8_t*>(bytes);
  for (size_t i = 0; i + 1 < length; i += 2) sum += static_cast<uint32_t>(at[i] << 8 | at[i + 1]);
  if (length & 1) sum += static_cast<uint32_t>(at[length - 1] << 8);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

// Where strangers' packets go.
struct Target {
  Mac from, to;
  in_addr address{};
  uint16_t port = 0;
};

Bytes Packet(const Target& target, uint32_t source, uint16_t source_port, uint8_t protocol, uint8_t flags,
             bool is_right) {
  struct __attribute__((packed)) {
    ether_header ethernet;
    iphdr ip;
    union {
      tcphdr tcp;
      struct {
        udphdr udp;
        uint32_t word;
      };
    };
  } frame{};
  std::memcpy(frame.ethernet.ether_dhost, target.to.data(), 6);
  std::memcpy(frame.ethernet.ether_shost, target.from.data(), 6);
  frame.ethernet.ether_type = htons(ETHERTYPE_IP);
  const size_t transport = protocol == IPPROTO_TCP ? sizeof(tcphdr) : sizeof(udphdr) + sizeof frame.word;
  frame.ip.version = 4;
  frame.ip.ihl = 5;
  frame.ip.tot_len = htons(static_cast<uint16_t>(sizeof(iphdr) + transport));
  frame.ip.ttl = 64;
  frame.ip.protocol = protocol;
  frame.ip.saddr = htonl(source);
  frame.ip.daddr = target.address.s_addr;
  frame.ip.check = htons(static_cast<uint16_t>(~Sum(&frame.ip, sizeof frame.ip)));
  const uint32_t pseudo = uint32_t{Sum(&frame.ip.saddr, 8)} + protocol + static_cast<uint32_t>(transport);
  if (protocol == IPPROTO_TCP) {
    frame.tcp.source = htons(source_port);
    frame.tcp.dest = htons(target.port);
    frame.tcp.seq = htonl(source * 2654435761u + (flags & TH_ACK ? 1 : 0));
    frame.tcp.ack_seq = htonl(flags & TH_ACK ? source : 0);
    frame.tcp.doff = 5;
    frame.tcp.window = htons(8192);
    reinterpret_cast<uint8_t*>(&frame.tcp)[13] = flags;
    frame.tcp.check =
        htons(static_cast<uint16_t>(~Sum(&frame.tcp, transport, pseudo) + (is_right ? 0 : 0x0101)));
  } else {
    frame.udp.source = htons(source_port);
    frame.udp.dest = htons(target.port);
    frame.udp.len = htons(static_cast<uint16_t>(transport));
    frame.udp.check = htons(static_cast<uint16_t>(~Sum(&frame.udp, transport, pseudo)));
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(&frame);
  return {bytes, bytes + sizeof(ether_header) + sizeof(iphdr) + transport};
}

// Sends what `next` makes, so many a second, until it makes no more or the time is over.
void SendAll(Link& link, double rate, double seconds, const std::function<bool(std::vector<Bytes>&)>& next) {
  const Clock::time_point begin = Clock::now();
  const auto since = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  uint64_t sent = 0;
  std::vector<Bytes> frames;
  while (since() < seconds) {
    if (static_cast<double>(sent) > since() * rate) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    frames.clear();
    if (!next(frames)) break;
    link.Send(frames);
    sent += frames.size();
  }
  std::printf("sent %lu seconds %.2f\n", sent, since());
}

int Flood(Link& link, const Target& target, const std::string& kind, double rate, double seconds,
          uint32_t seed) {
  std::mt19937 random(seed);
  const auto stranger = [&] { return 0x0a800000u | (static_cast<uint32_t>(random()) & 0x007fffff); };
  std::vector<std::pair<uint32_t, uint16_t>> opened;  // of which the second packet is yet to come
  const bool has_two = kind == "half" || kind == "handshake";
  if (!has_two && kind != "syn" && kind != "udp" && kind != "stray") Die(kind + ": no such flood");
  SendAll(link, rate, seconds, [&](std::vector<Bytes>& frames) {
    for (const auto& [source, port] : opened)
      frames.push_back(Packet(target, source, port, IPPROTO_TCP, TH_ACK, kind == "handshake"));
    opened.clear();
    while (frames.size() < kBatch && opened.size() < kBatch / 2) {
      const uint32_t source = stranger();
      const auto port = static_cast<uint16_t>(1024 + random() % 60000);
      if (kind == "udp") {
        frames.push_back(Packet(target, source, port, IPPROTO_UDP, 0, true));
      } else {
        frames.push_back(Packet(target, source, port, IPPROTO_TCP, kind == "stray" ? TH_ACK : TH_SYN, true));
      }
      if (has_two) opened.emplace_back(source, port);
    }
    return true;
  });
  return 0;
}

std::vector<Bytes> ReadFrames(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<Bytes> frames;
  for (size_t at = 0; at + 4 <= all.size();) {
    uint32_t length;
    std::memcpy(&length, &all[at], 4);
    at += 4;
    if (length > all.size() - at) Die(std::string(path) + ": is cut");
    frames.emplace_back(all.begin() + static_cast<std::ptrdiff_t>(at),
                        all.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
  }
  if (frames.empty()) Die(std::string(path) + ": has no frames");
  return frames;
}

Bytes Bent(Bytes frame, std::mt19937& random) {
  constexpr size_t kFront = 80;  // headers
  for (uint32_t hits = 1 + static_cast<uint32_t>(random() % 4); hits > 0 && frame.size() > 14; --hits) {
    const size_t most = random() % 2 ? frame.size() : std::min(frame.size(), kFront);
    if (most > 14) frame[14 + random() % (most - 14)] = static_cast<uint8_t>(random());
  }
  if (random() % 4 == 0) frame.resize(14 + random() % frame.size());
  // Half of IPv4's headers get a right checksum, or nobody looks further.
  const size_t header = frame.size() > 34 ? (frame[14] & 15) * 4u : 0;
  if (random() % 2 && header >= 20 && frame.size() >= 14 + header && frame[12] == 8 && frame[13] == 0) {
    frame[24] = frame[25] = 0;
    const auto checksum = static_cast<uint16_t>(~Sum(&frame[14], header));
    frame[24] = static_cast<uint8_t>(checksum >> 8);
    frame[25] = static_cast<uint8_t>(checksum);
  }
  return frame;
}

int SendFrames(Link& link, const Mac& gateway, const char* path, uint64_t count, double rate, uint32_t seed) {
  const std::vector<Bytes> frames = ReadFrames(path);
  std::mt19937 random(seed);
  uint64_t at = 0;
  constexpr double kAnHour = 3600;
  SendAll(link, rate, kAnHour, [&](std::vector<Bytes>& batch) {
    for (; at < count && batch.size() < kBatch; ++at) {
      Bytes frame = at < frames.size() ? frames[at] : Bent(frames[at % frames.size()], random);
      frame.resize(std::min(std::max<size_t>(frame.size(), 14), kLargest));
      if (!(frame[0] & 1)) std::copy(gateway.begin(), gateway.end(), frame.begin());
      std::copy(link.mac.begin(), link.mac.end(), frame.begin() + 6);
      batch.push_back(std::move(frame));
    }
    return !batch.empty();
  });
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8)
    Die("INTERFACE GATEWAY_MAC KIND ADDRESS:PORT RATE SECONDS SEED, or frames FILE COUNT RATE SEED");
  Link link(argv[1]);
  const Mac gateway = ParseMac(argv[2]);
  const std::string kind = argv[3];
  const auto seed = static_cast<uint32_t>(std::strtoul(argv[7], nullptr, 10));
  if (kind == "frames")
    return SendFrames(link, gateway, argv[4], std::strtoull(argv[5], nullptr, 10), std::atof(argv[6]), seed);
  const std::string target = argv[4];
  const size_t colon = target.rfind(':');
  Target where{.from = link.mac, .to = gateway};
  if (colon == std::string::npos || inet_pton(AF_INET, target.substr(0, colon).c_str(), &where.address) != 1)
    Die(target + ": must be ADDRESS:PORT of IPv4");
  where.port = static_cast<uint16_t>(std::atoi(target.c_str() + colon + 1));
  return Flood(link, where, kind, std::atof(argv[5]), std::atof(argv[6]), seed);
}
