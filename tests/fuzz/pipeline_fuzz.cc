// The whole pipeline with random packets against random configurations, for so many seconds:
//   pipeline_fuzz SECONDS [SEED]
// Meant for builds with AddressSanitizer. Besides not crashing, it must be that when everything is over
// nothing is left: no connection, no template, no load, no port taken.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "dataplane/net/check.h"
#include "schedulers/scheduler.h"
#include "tests/support/pipeline_rig.h"

namespace sluice {
namespace {

class Fuzz {
 public:
  explicit Fuzz(uint32_t seed)
      : random_(seed),
        rig_({.connection_capacity = 16u << Below(8), .template_capacity = 16u << Below(8), .workers = 2}) {}

  // A life from the first configuration to the last connection.
  void Run() {
    for (int i = 0; i < 200; ++i) {
      switch (Below(8)) {
        case 0: ChangeService(); break;
        case 1: ChangeGlobal(); break;
        case 2: ChangeForwarding(); break;
        case 3: Wait(); break;
        default: SendBurst(); break;
      }
    }
    End();
  }

 private:
  uint32_t Below(uint32_t limit) { return random_() % limit; }
  bool OneIn(uint32_t n) { return Below(n) == 0; }
  template <class T>
  const T& Any(const std::vector<T>& values) {
    return values[Below(static_cast<uint32_t>(values.size()))];
  }

  static std::string Numbered(const char* v4, const char* v6, bool is_v6, uint32_t number) {
    return (is_v6 ? v6 : v4) + std::to_string(number);
  }
  std::string Client(bool is_v6) { return Numbered("10.0.0.", "fd00:a::", is_v6, 1 + Below(4)); }
  std::string Virtual(bool is_v6) { return Numbered("10.99.0.", "fd00:99::", is_v6, 1 + Below(3)); }
  std::string Server(bool is_v6) { return Numbered("10.1.0.", "fd00:b::", is_v6, 1 + Below(9)); }
  std::string Local(bool is_v6) { return Numbered("10.1.0.10", "fd00:b::10", is_v6, Below(3)); }
  uint16_t ServicePort() { return Any<uint16_t>({0, 21, 53, 80}); }
  uint16_t ClientPort() { return static_cast<uint16_t>(2000 + Below(6)); }
  Protocol AnyProtocol() { return Any<Protocol>({Protocol::kTcp, Protocol::kUdp, Protocol::kSctp}); }

  ServiceKey AnyKey() {
    const bool is_v6 = OneIn(2);
    if (OneIn(6)) {
      const IpAddress none = IpAddress::Unspecified(is_v6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4);
      return {{none, Be16{}, Protocol::kTcp}, 1 + Below(3)};
    }
    return {{*IpAddress::Parse(Virtual(is_v6)), Be16::FromHost(ServicePort()), AnyProtocol()}};
  }

  DestinationSpec AnyServer(bool is_v6, bool may_be_full_nat) {
    DestinationSpec server;
    server.method = Any<ForwardingMethod>({ForwardingMethod::kNat, ForwardingMethod::kDirect,
                                           ForwardingMethod::kTunnel, ForwardingMethod::kFullNat});
    if (!may_be_full_nat && server.method == ForwardingMethod::kFullNat)
      server.method = ForwardingMethod::kNat;
    const bool other_family = server.method == ForwardingMethod::kTunnel && OneIn(3);
    server.address = *IpAddress::Parse(Server(is_v6 != other_family));
    server.port = Be16::FromHost(Any<uint16_t>({0, 53, 8080}));
    server.weight = static_cast<int32_t>(Below(4));
    if (OneIn(4)) server.upper_threshold = 1 + Below(20);
    if (OneIn(2)) server.lower_threshold = Below(server.upper_threshold + 1);
    server.tunnel = {Any<TunnelType>({TunnelType::kIpip, TunnelType::kGre, TunnelType::kGue}), OneIn(2),
                     Be16::FromHost(6080)};
    return server;
  }

  void ChangeService() {
    const ServiceKey key = AnyKey();
    if (OneIn(4)) {
      rig_.snapshots.Delete(key);
      rig_.SetGlobal(global_);
      return;
    }
    const bool is_v6 = !key.address.IsV4();
    ServiceSpec spec{.key = key, .scheduler = std::string(Any(SchedulerNames()))};
    spec.one_packet = OneIn(6) && (key.protocol == Protocol::kUdp || key.HasFwmark());
    spec.flags = {.flag_1 = OneIn(2), .flag_2 = OneIn(2)};
    for (uint32_t i = Below(6); i > 0; --i) {
      const DestinationSpec server = AnyServer(is_v6, !spec.one_packet);
      const auto same = [&](const DestinationSpec& each) {
        return each.address == server.address && each.port == server.port;
      };
      if (std::none_of(spec.destinations.begin(), spec.destinations.end(), same))
        spec.destinations.push_back(server);
    }
    if (OneIn(3) || (key.port == Be16{} && !key.HasFwmark())) {
      spec.persistence = {.timeout_seconds = 1 + Below(400),
                          .prefix_length = static_cast<uint8_t>(1 + Below(is_v6 ? 128 : 32)),
                          .strict = OneIn(2)};
    }
    if (OneIn(4)) spec.timeouts = TimeoutSpec{Below(100), Below(100), Below(100)};
    if (OneIn(4)) spec.drain_seconds = 1 + Below(30);
    spec.no_destination = Any<NoDestinationPolicy>(
        {NoDestinationPolicy::kIcmp, NoDestinationPolicy::kReset, NoDestinationPolicy::kDrop});
    if (OneIn(5)) {
      const uint8_t length = static_cast<uint8_t>(Below(is_v6 ? 129 : 33));
      const IpAddress prefix = IpAddress::Parse(Client(is_v6))->Prefix(length);
      (OneIn(2) ? spec.sources.allow : spec.sources.deny).push_back({prefix, length});
    }
    if (OneIn(4)) spec.local_addresses = {AnyLocal(), AnyLocal()};
    rig_.AddService(spec);
  }

  LocalAddress AnyLocal() {
    return {*IpAddress::Parse(Local(OneIn(2))), OneIn(3) ? static_cast<int>(Below(3)) : 0};
  }

  void ChangeGlobal() {
    Settings& settings = global_.settings;
    settings = {};
    if (OneIn(3)) settings.drop_entry = Below(4);
    if (OneIn(3)) settings.drop_packet = Below(4);
    if (OneIn(3)) settings.secure_tcp = Below(4);
    settings.amemthresh = Below(100);
    settings.am_droprate = Below(5);
    settings.conn_reuse_mode = Below(4);
    settings.cache_bypass = OneIn(3);
    settings.expire_nodest_conn = OneIn(3);
    settings.expire_quiescent_template = OneIn(3);
    settings.sloppy_tcp = OneIn(3);
    settings.sloppy_sctp = OneIn(3);
    settings.nat_icmp_send = OneIn(3);
    settings.pmtu_disc = !OneIn(3);
    settings.schedule_icmp = OneIn(2);
    global_.fwmark_rules.clear();
    for (uint32_t i = Below(4); i > 0; --i) {
      const bool is_v6 = OneIn(2);
      FwmarkRule rule{.fwmark = 1 + Below(3), .prefix = *IpAddress::Parse(Virtual(is_v6))};
      rule.prefix_length = is_v6 ? 128 : 32;
      if (OneIn(2)) rule.protocol = AnyProtocol();
      global_.fwmark_rules.push_back(rule);
    }
    global_.local_addresses.clear();
    for (uint32_t i = Below(4); i > 0; --i) global_.local_addresses.push_back(AnyLocal());
    rig_.SetGlobal(global_);
  }

  void ChangeForwarding() {
    ForwardingSpec spec = PipelineRig::DefaultForwarding();
    for (auto& [index, link] : spec.links) {
      link.up = !OneIn(6);
      link.mtu = Any<uint16_t>({68, 576, 1280, 1500, 9000});
    }
    spec.links[3] = {.mac = kMacOfSluice, .mtu = 1500, .up = true, .port = 0, .vlan = 7};
    if (OneIn(3)) spec.routes[0].legs[0].interface = 3;
    for (RouteSpec& route : spec.routes) {
      if (!OneIn(4)) route.source = *IpAddress::Parse(route.prefix.IsV4() ? "10.1.0.254" : "fd00:b::fe");
      if (OneIn(8)) route.kind = Any<RouteKind>({RouteKind::kLocal, RouteKind::kUnreachable});
    }
    for (auto at = spec.neighbours.begin(); at != spec.neighbours.end();)
      at = OneIn(6) ? spec.neighbours.erase(at) : std::next(at);
    rig_.SetForwarding(spec);
  }

  void Wait() {
    rig_.Advance(OneIn(4) ? Below(400) : Below(3));
    KeepTime(1);
  }
  void KeepTime(int seconds) {
    time_ += std::chrono::seconds(seconds);
    rig_.snapshots.EndDrains(time_);
    rig_.snapshots.EmptyTrash(time_);
  }

  Packet AnyTransport() {
    Packet packet;
    switch (Below(4)) {
      case 0: packet.Udp(); break;
      case 1: packet.Sctp({static_cast<uint8_t>(Below(16)), static_cast<uint8_t>(Below(16))}); break;
      default: packet.Tcp(static_cast<uint8_t>(Any<int>({2, 0x12, 0x10, 0x11, 4, 0x14, 0, 0x3f}))); break;
    }
    if (OneIn(3)) packet.Payload(std::string(Below(OneIn(4) ? 1700 : 30), 'p'));
    return packet;
  }
  Packet AnyFlow(bool is_v6) {
    Packet packet = AnyTransport();
    const uint16_t port = Any<uint16_t>({20, 21, 53, 80, 8080, 5000});
    const auto local_port = static_cast<uint16_t>(1024 + Below(20));
    switch (Below(4)) {
      case 0: packet.From(Server(is_v6), port).To(Client(is_v6), ClientPort()); break;
      case 1: packet.From(Server(is_v6), port).To(Local(is_v6), local_port); break;
      default: packet.From(Client(is_v6), ClientPort()).To(Virtual(is_v6), port); break;
    }
    return packet;
  }
  FrameBytes AnyFrame() {
    const bool is_v6 = OneIn(2);
    Packet packet = AnyFlow(is_v6);
    if (OneIn(20)) return AboutTunnel();
    if (OneIn(8)) {
      const uint8_t type =
          static_cast<uint8_t>(is_v6 ? Any<int>({1, 2, 3, 128, 135}) : Any<int>({3, 4, 11, 8, 0}));
      packet.IcmpErrorAbout(type, static_cast<uint8_t>(Below(5)), static_cast<uint16_t>(Below(1500)),
                            AnyFlow(OneIn(8) != is_v6).Bytes(), OneIn(2) ? 0 : 28);
    }
    if (OneIn(4)) packet.Fragment(static_cast<uint16_t>(OneIn(2) ? 0 : Below(8)), OneIn(2));
    if (OneIn(6)) packet.Extensions({Any<uint8_t>({0, 43, 60}), Any<uint8_t>({43, 60})});
    if (OneIn(8)) packet.IpOptions(FrameBytes(4 * Below(11), 1));
    if (OneIn(8)) packet.Ttl(static_cast<uint8_t>(Below(3)));
    if (OneIn(8)) packet.Vlan(Any<uint16_t>({7, 8}));
    if (OneIn(8)) packet.BreakTransportChecksum();
    if (OneIn(16)) packet.ZeroUdpChecksum();
    FrameBytes frame = packet.Bytes();
    if (OneIn(4)) {
      for (uint32_t hits = 1 + Below(4); hits > 0; --hits)
        frame[Below(static_cast<uint32_t>(frame.size()))] = static_cast<uint8_t>(random_());
    }
    if (OneIn(10)) frame.resize(Below(static_cast<uint32_t>(frame.size() + 1)));
    return frame;
  }
  FrameBytes AboutTunnel() {
    const bool outer_is_v6 = OneIn(2);
    const FrameBytes inner = AnyFlow(OneIn(2)).Bytes();
    const std::string host = outer_is_v6 ? "fd00:b::fe" : "10.1.0.254";
    Packet tunnelled = Packet().From(host, 0).To(Server(outer_is_v6), 0);
    tunnelled.IpProtocol(Any<uint8_t>({4, 41, 47, 17}))
        .Payload(std::string(4 * Below(4), '\0') + std::string(inner.begin() + 14, inner.end()));
    Packet error = Packet().From(outer_is_v6 ? "fd00:b::9" : "10.1.0.9", 0).To(host, 0);
    error.IcmpErrorAbout(static_cast<uint8_t>(1 + Below(4)), static_cast<uint8_t>(Below(5)),
                         static_cast<uint16_t>(Below(1500)), tunnelled.Bytes(),
                         OneIn(2) ? 0 : 28 + Below(70));
    return error.Bytes();
  }
  void SendBurst() {
    std::vector<FrameBytes> frames;
    for (uint32_t i = 1 + Below(kBurst); i > 0; --i) frames.push_back(AnyFrame());
    SLUICE_CHECK(rig_.Send(frames, static_cast<uint16_t>(Below(2))).size() == frames.size());
  }

  // All services go, and so much time that everything they had is over.
  void End() {
    std::vector<ServiceKey> keys;
    for (const auto& service : rig_.snapshot->services.All()) keys.push_back(service->spec.key);
    for (const ServiceKey& key : keys) rig_.snapshots.Delete(key);
    rig_.SetGlobal({});
    for (int i = 0; i < 8; ++i) {
      rig_.Advance(2000);
      KeepTime(200);
    }
    while (rig_.persistence->Expire(rig_.worker->now) > 0) {
    }
    SLUICE_CHECK(rig_.worker->connections.size() == 0);
    SLUICE_CHECK(rig_.worker->fragments.waiting() == 0);
    int templates = 0;
    rig_.persistence->ForEach([&](const Template&) { ++templates; });
    SLUICE_CHECK(templates == 0);
    for (DestinationId id = kNoDestination + 1; id < rig_.destinations.End(); ++id) {
      const DestinationLoad& load = rig_.destinations.load(id);
      SLUICE_CHECK(load.Total() == 0 && load.Active() == 0 && load.persistent.load() == 0);
    }
    for (int i = 0; i < 3; ++i) rig_.SetGlobal({});
    SLUICE_CHECK(rig_.snapshot->port_pools == nullptr && rig_.snapshots.trash_size() == 0);
  }

  std::mt19937 random_;
  PipelineRig rig_;
  GlobalSpec global_;
  SnapshotBuilder::Clock::time_point time_{};
};

int Main(int seconds, uint32_t seed) {
  std::printf("seed %u\n", seed);
  std::fflush(stdout);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  uint32_t lives = 0;
  for (; std::chrono::steady_clock::now() < end; ++lives) {
    Fuzz fuzz(seed + lives);
    fuzz.Run();
  }
  std::printf("%u lives\n", lives);
  return 0;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "pipeline_fuzz SECONDS [SEED]\n"), 2;
  const uint32_t seed =
      argc > 2 ? static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)) : std::random_device()();
  return sluice::Main(std::atoi(argv[1]), seed);
}
