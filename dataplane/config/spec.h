// What is wanted, as plain values: the input of SnapshotBuilder. Whoever fills it has validated it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/net/endpoint.h"
#include "schedulers/scheduler.h"

namespace sluice {

// A service is named by the endpoint its clients know, or by a firewall mark. Port 0: every port. With a mark
// the address only tells the family, being the unspecified one; port and protocol say nothing.
struct ServiceKey : Endpoint {
  uint32_t fwmark = 0;

  bool HasFwmark() const { return fwmark != 0; }

  friend auto operator<=>(const ServiceKey& a, const ServiceKey& b) {
    if (const auto order = a.fwmark <=> b.fwmark; order != 0) return order;
    return static_cast<const Endpoint&>(a) <=> static_cast<const Endpoint&>(b);
  }
  friend bool operator==(const ServiceKey&, const ServiceKey&) = default;
};

// How packets reach a real server. But for the last IPVS's numbers, which are the low bits of a connection's
// flags.
enum class ForwardingMethod : uint8_t {
  kNat = 0,      // destination rewritten, replies come back through here
  kTunnel = 2,   // encapsulated; the server answers the client itself
  kDirect = 3,   // unchanged, to the server's MAC address; the server answers the client itself
  kFullNat = 5,  // not IPVS's: NAT, and the client's address becomes a local one, to which the server answers
};

// An address of the host's own that full NAT gives to clients.
struct LocalAddress {
  IpAddress address;
  int interface = 0;  // only for real servers that are reached over this one; 0: over any

  friend bool operator==(const LocalAddress&, const LocalAddress&) = default;
};

enum class TunnelType : uint8_t { kIpip = 0, kGue = 1, kGre = 2 };

// Of destinations with method kTunnel. IPVS's numbers.
struct TunnelSpec {
  TunnelType type = TunnelType::kIpip;
  bool checksum = false;  // of GUE's UDP header, or in the GRE header
  Be16 port;              // of GUE

  friend bool operator==(const TunnelSpec&, const TunnelSpec&) = default;
};

struct DestinationSpec {
  IpAddress address;
  Be16 port;  // 0: the port the packet was sent to
  int32_t weight = 1;
  // No more connections than this, and new ones again below that; 0: no limit, three quarters of the upper.
  uint32_t upper_threshold = 0;
  uint32_t lower_threshold = 0;
  ForwardingMethod method = ForwardingMethod::kNat;
  TunnelSpec tunnel;

  friend bool operator==(const DestinationSpec&, const DestinationSpec&) = default;
};

// Clients of one network (as long as the prefix says) stay with one real server, until there was no new
// connection for so long.
struct PersistenceSpec {
  uint32_t timeout_seconds = 0;  // 0: no persistence
  uint8_t prefix_length = 32;    // of the client's address: 1..32, or 1..128
  bool strict = false;           // connections that have closed do not prolong it

  friend bool operator==(const PersistenceSpec&, const PersistenceSpec&) = default;
};

// In seconds.
struct TimeoutSpec {
  uint32_t tcp_seconds = 900;
  uint32_t tcp_fin_seconds = 120;
  uint32_t udp_seconds = 300;

  friend bool operator==(const TimeoutSpec&, const TimeoutSpec&) = default;
};

// Which clients a service is for. The longest prefix decides; of two equal ones the denied.
struct SourceRanges {
  struct Prefix {
    IpAddress address;  // host bits are zero
    uint8_t length = 32;
    friend bool operator==(const Prefix&, const Prefix&) = default;
  };
  std::vector<Prefix> allow;  // none: everybody who is not denied
  std::vector<Prefix> deny;

  bool Any() const { return !allow.empty() || !deny.empty(); }
  friend bool operator==(const SourceRanges&, const SourceRanges&) = default;
};

// What a client gets for whom there is no real server.
enum class NoDestinationPolicy : uint8_t { kIcmp, kReset, kDrop };

struct ServiceSpec {
  ServiceKey key;
  std::string scheduler = "wlc";  // a registered name
  SchedulerFlags flags;
  bool one_packet = false;  // UDP: every datagram is scheduled by itself, and no connection is kept
  std::vector<DestinationSpec> destinations;  // in the order of adding; endpoints are distinct
  PersistenceSpec persistence;
  std::optional<TimeoutSpec> timeouts;  // of this service only
  // How long connections of a real server that is drained (weight 0) or removed may go on; 0: as long as they
  // like.
  uint32_t drain_seconds = 0;
  NoDestinationPolicy no_destination = NoDestinationPolicy::kIcmp;
  SourceRanges sources;
  std::vector<LocalAddress> local_addresses;  // for full NAT; none: those of GlobalSpec

  friend bool operator==(const ServiceSpec&, const ServiceSpec&) = default;
};

// What IPVS has as sysctls, under the same names and with the same defaults.
struct Settings {
  uint32_t amemthresh = 1024;  // free connections below which defences of mode 1 become active
  uint32_t am_droprate = 10;
  uint32_t drop_entry = 0;
  uint32_t drop_packet = 0;
  uint32_t secure_tcp = 0;
  uint32_t conn_reuse_mode = 1;
  bool cache_bypass = false;
  bool expire_nodest_conn = false;
  bool expire_quiescent_template = false;
  bool sloppy_tcp = false;
  bool sloppy_sctp = false;
  bool run_estimation = true;
  bool nat_icmp_send = false;
  bool pmtu_disc = true;
  bool schedule_icmp = false;
  uint32_t lblc_expiration = 86400;
  uint32_t lblcr_expiration = 86400;

  friend bool operator==(const Settings&, const Settings&) = default;
};

// Packets to these addresses and ports carry this mark: what a firewall's rule does in the kernel.
struct FwmarkRule {
  uint32_t fwmark = 0;
  std::optional<Protocol> protocol;  // none: TCP, UDP and SCTP
  IpAddress prefix;                  // host bits are zero
  uint8_t prefix_length = 32;
  uint16_t first_port = 0;
  uint16_t last_port = 65535;

  friend bool operator==(const FwmarkRule&, const FwmarkRule&) = default;
};

// What belongs to no service.
struct GlobalSpec {
  TimeoutSpec timeouts;
  Settings settings;
  std::vector<FwmarkRule> fwmark_rules;  // the first that matches counts
  std::vector<LocalAddress> local_addresses;

  friend bool operator==(const GlobalSpec&, const GlobalSpec&) = default;
};

}  // namespace sluice
