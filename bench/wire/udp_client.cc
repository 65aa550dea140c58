// SPDX-License-Identifier: Apache-2.0
#include "bench/wire/udp_client.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/wire/flows.h"
#include "bench/wire/next_hop.h"
#include "bench/wire/pace.h"
#include "dataplane/net/pseudo_header.h"

namespace sluice {
namespace {

constexpr int kAtOnce = 32;
constexpr size_t kMostPacket = 1514;

class UdpClient {
 public:
  explicit UdpClient(const WireOptions& options)
      : options_(options),
        is_v6_(!options.target.address.IsV4()),
        flows_(options.first_source, options.sources),
        sent_(options.flows),
        answered_(new std::atomic<uint32_t>[options.flows]()) {}
  ~UdpClient() {
    if (sender_ >= 0) close(sender_);
    if (receiver_ >= 0) close(receiver_);
  }
  UdpClient(const UdpClient&) = delete;
  UdpClient& operator=(const UdpClient&) = delete;

  absl::Status Open() {
    if (options_.flows > flows_.count())
      return absl::InvalidArgumentError(absl::StrCat("--flows ", options_.flows, ": --from has room for ",
                                                     flows_.count(), " flows; take a larger network"));
    sender_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (sender_ < 0)
      return absl::ErrnoToStatus(errno, "cannot make packets of other addresses (run as root)");
    const absl::StatusOr<WireNextHop> hop = FindNextHop(options_.target);
    if (!hop.ok()) return hop.status();
    ethernet_ = {hop->neighbour, hop->own, is_v6_ ? kEtherTypeIpv6 : kEtherTypeIpv4};
    interface_ = hop->interface;
    // Straight to the device: queues in between are not what is measured.
    const int bypass = 1;
    setsockopt(sender_, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof bypass);
    if (options_.one_way) return absl::OkStatus();
    receiver_ = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(is_v6_ ? ETH_P_IPV6 : ETH_P_IP));
    if (receiver_ < 0) return absl::ErrnoToStatus(errno, "cannot hear packets (run as root)");
    const int one = 1;
    const int room = 64 << 20;
    const timeval patience = {0, 20'000};
    setsockopt(receiver_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one);
    setsockopt(receiver_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(receiver_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return absl::OkStatus();
  }

  absl::StatusOr<Report> Run() {
    // A reply that is later is lost. The wait ends as soon as there is nothing to wait for.
    constexpr uint64_t kLatestReply = 2'000'000'000;
    std::thread hearing;
    if (receiver_ >= 0) hearing = std::thread([this] { Hear(); });
    const absl::Status sent = Send();
    if (hearing.joinable()) {
      const uint64_t until = WireNanoseconds() + kLatestReply;
      constexpr timespec kBetween = {0, 10'000'000};
      while (heard_.load(std::memory_order_relaxed) < sent_count_ && WireNanoseconds() < until) {
        nanosleep(&kBetween, nullptr);
      }
      stop_.store(true);
      hearing.join();
    }
    EndProgress();
    if (!sent.ok()) return sent;
    return Result();
  }

 private:
  size_t IpHeader() const { return is_v6_ ? sizeof(Ipv6Header) : sizeof(Ipv4Header); }

  size_t Write(uint8_t* frame, uint64_t flow, uint32_t sequence) const {
    const size_t least = IpHeader() + sizeof(UdpHeader) + sizeof(Probe);
    const size_t length = std::max(least, size_t{options_.size} - sizeof(EthernetHeader));
    *reinterpret_cast<EthernetHeader*>(frame) = ethernet_;
    uint8_t* at = frame + sizeof(EthernetHeader);
    const IpAddress source = flows_.SourceOf(flow);
    const IpAddress& destination = options_.target.address;
    const auto transport = static_cast<uint16_t>(length - IpHeader());
    constexpr auto kUdp = static_cast<uint8_t>(Protocol::kUdp);
    constexpr uint8_t kTimeToLive = 64;
    uint64_t pseudo = 0;
    if (is_v6_) {
      *reinterpret_cast<Ipv6Header*>(at) = {.version_class_label = FirstWordOfIpv6(0),
                                            .payload_length = Be16::FromHost(transport),
                                            .next_header = kUdp,
                                            .hop_limit = kTimeToLive,
                                            .source = source.V6(),
                                            .destination = destination.V6()};
      pseudo = SumOfPseudoHeader(source.V6(), destination.V6(), kUdp, transport);
    } else {
      *reinterpret_cast<Ipv4Header*>(at) = {.version_and_length = 0x45,
                                            .type_of_service = 0,
                                            .total_length = Be16::FromHost(static_cast<uint16_t>(length)),
                                            .identification = Be16{},
                                            .flags_and_offset = kIpv4DontFragment,
                                            .time_to_live = kTimeToLive,
                                            .protocol = kUdp,
                                            .checksum = 0,
                                            .source = source.V4(),
                                            .destination = destination.V4()};
      auto& ip = *reinterpret_cast<Ipv4Header*>(at);
      ip.checksum = static_cast<uint16_t>(~FoldSum(SumOfPlainHeader(ip)));
      pseudo = SumOfPseudoHeader(source.V4(), destination.V4(), kUdp, transport);
    }
    auto& udp = *reinterpret_cast<UdpHeader*>(at + IpHeader());
    udp = {.source_port = flows_.PortOf(flow),
           .destination_port = options_.target.port,
           .length = Be16::FromHost(transport),
           .checksum = 0};
    const bool established = flow < options_.flows;
    *reinterpret_cast<Probe*>(&udp + 1) = {.flow = established ? static_cast<uint32_t>(flow) : UINT32_MAX,
                                           .sequence = sequence,
                                           .sent_at = WireNanoseconds()};
    udp.checksum = UdpChecksumOf(pseudo + SumBytes(&udp, transport));
    return sizeof(EthernetHeader) + length;
  }

  uint64_t NextFlow() {
    fresh_owed_ += options_.fresh;
    if (fresh_owed_ >= 1) {
      fresh_owed_ -= 1;
      const uint64_t all = flows_.count() - options_.flows;
      return options_.flows + (all == 0 ? 0 : next_fresh_++ % all);
    }
    next_ = next_ + 1 == options_.flows ? 0 : next_ + 1;
    return next_;
  }

  absl::Status Send() {
    auto packets = std::make_unique<uint8_t[][kMostPacket]>(kAtOnce);
    iovec pieces[kAtOnce];
    mmsghdr messages[kAtOnce] = {};
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = interface_;
    for (int i = 0; i < kAtOnce; ++i) {
      messages[i].msg_hdr = {
          .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    Pace pace(options_.rate);
    begin_ = WireNanoseconds();
    const auto end = begin_ + static_cast<uint64_t>(options_.seconds * 1e9);
    uint64_t told = begin_;
    for (uint64_t now = begin_; now < end; now = WireNanoseconds()) {
      const int count = pace.Due(kAtOnce);
      uint64_t flow[kAtOnce];
      for (int i = 0; i < count; ++i) {
        flow[i] = NextFlow();
        pieces[i] = {packets[i], Write(packets[i], flow[i], sequence_++)};
      }
      int done = 0;
      while (done < count) {
        const int sent = sendmmsg(sender_, messages + done, static_cast<unsigned>(count - done), 0);
        if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
          return absl::ErrnoToStatus(errno, "cannot send");
        if (sent < 0) break;
        for (int i = done; i < done + sent; ++i) {
          if (flow[i] < options_.flows) ++sent_[flow[i]];
        }
        done += sent;
      }
      sent_count_ += static_cast<uint64_t>(done);
      not_sent_ += static_cast<uint64_t>(count - done);
      if (count == 0) pace.Wait();
      if (now - told < 1'000'000'000) continue;
      told = now;
      const uint64_t heard = heard_.load(std::memory_order_relaxed);
      ShowProgress(double(now - begin_) / 1e9, sent_count_,
                   options_.one_way ? 0 : sent_count_ - std::min(heard, sent_count_));
    }
    end_ = WireNanoseconds();
    return absl::OkStatus();
  }

  void Hear() {
    constexpr size_t kEnough = sizeof(Ipv6Header) + sizeof(UdpHeader) + sizeof(Probe);
    uint8_t packets[kAtOnce][kEnough];
    iovec pieces[kAtOnce];
    mmsghdr messages[kAtOnce] = {};
    for (int i = 0; i < kAtOnce; ++i) {
      pieces[i] = {packets[i], kEnough};
      messages[i].msg_hdr.msg_iov = &pieces[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!stop_.load(std::memory_order_relaxed)) {
      const int count = recvmmsg(receiver_, messages, kAtOnce, MSG_WAITFORONE, nullptr);
      const uint64_t now = WireNanoseconds();
      for (int i = 0; i < count; ++i) HearOne(packets[i], messages[i].msg_len, now);
    }
  }

  void HearOne(const uint8_t* packet, size_t length, uint64_t now) {
    if (length < IpHeader() + sizeof(UdpHeader) + sizeof(Probe)) return;
    IpAddress source;
    uint8_t protocol;
    if (is_v6_) {
      const auto& ip = *reinterpret_cast<const Ipv6Header*>(packet);
      source = IpAddress::FromV6(ip.source);
      protocol = ip.next_header;
    } else {
      const auto& ip = *reinterpret_cast<const Ipv4Header*>(packet);
      if (ip.version_and_length != 0x45) return;
      source = IpAddress::FromV4(ip.source);
      protocol = ip.protocol;
    }
    const auto& udp = *reinterpret_cast<const UdpHeader*>(packet + IpHeader());
    const auto& probe = *reinterpret_cast<const Probe*>(&udp + 1);
    if (protocol != static_cast<uint8_t>(Protocol::kUdp) || source != options_.target.address ||
        udp.source_port != options_.target.port || probe.magic != Probe::kMagic || probe.sent_at > now) {
      return;
    }
    heard_.fetch_add(1, std::memory_order_relaxed);
    latency_.Add(now - probe.sent_at);
    if (probe.flow < options_.flows) answered_[probe.flow].fetch_add(1, std::memory_order_relaxed);
  }

  Report Result() {
    Report report;
    const double seconds = double(end_ - begin_) / 1e9;
    report.Add("seconds", seconds);
    report.Add("sent", sent_count_);
    report.Add("not_sent", not_sent_);
    report.Add("sent_a_second", double(sent_count_) / seconds);
    if (options_.one_way) return report;
    const uint64_t heard = heard_.load();
    report.Add("answered", heard);
    report.Add("lost", sent_count_ - std::min(heard, sent_count_));
    report.AddLatency(latency_);
    std::vector<Report::LossyFlow> lossy;
    for (uint32_t flow = 0; flow < options_.flows; ++flow) {
      const uint32_t answered = answered_[flow].load();
      if (answered >= sent_[flow]) continue;
      lossy.push_back({EndpointToString(flows_.SourceOf(flow), flows_.PortOf(flow)), sent_[flow],
                       sent_[flow] - answered});
    }
    report.AddLossyFlows(std::move(lossy));
    return report;
  }

  const WireOptions& options_;
  const bool is_v6_;
  const WireFlows flows_;
  EthernetHeader ethernet_;
  int interface_ = 0;
  int sender_ = -1;
  int receiver_ = -1;
  uint64_t begin_ = 0, end_ = 0;
  uint64_t sent_count_ = 0, not_sent_ = 0, next_ = 0, next_fresh_ = 0;
  uint32_t sequence_ = 0;
  double fresh_owed_ = 0;
  std::vector<uint32_t> sent_;                         // by established flow
  std::unique_ptr<std::atomic<uint32_t>[]> answered_;  // the same
  std::atomic<uint64_t> heard_{0};
  std::atomic<bool> stop_{false};
  Histogram latency_;
};

}  // namespace

absl::StatusOr<Report> RunUdpClient(const WireOptions& options) {
  UdpClient client(options);
  if (const absl::Status opened = client.Open(); !opened.ok()) return opened;
  return client.Run();
}

}  // namespace sluice
