// Addresses and prefixes as objects and options write them.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::kubernetes {

// In one spelling: "10.0.0.1", "2001:db8::1".
struct Address {
  std::string text;
  bool is_v6 = false;
  bool can_be_served = true;  // sluiced refuses others: loopback, multicast, link-local and reserved ones

  bool IsLoopback() const { return is_v6 ? text == "::1" : text.starts_with("127."); }
  friend bool operator==(const Address&, const Address&) = default;
};
// Numbers of IPv4 may begin with zeros, which are not octal.
std::optional<Address> ParseAddress(std::string_view text);

struct Prefix {
  std::array<uint8_t, 16> bytes{};
  int length = 0;
  bool is_v6 = false;

  bool Contains(const Address& address) const;
  std::string ToString() const;
  friend bool operator==(const Prefix&, const Prefix&) = default;
};
// White space around it is tolerated; a bare address is all of itself.
std::optional<Prefix> ParsePrefix(std::string_view text);

// One of an interface of this host's.
struct LocalInterfaceAddress {
  std::string interface;
  Address address;
  bool is_link_local = false;
};
// Nothing: they cannot be read now, which is not the same as having none.
std::optional<std::vector<LocalInterfaceAddress>> LocalAddresses();

// On which of the host's addresses node ports are served.
struct NodePortChoice {
  std::vector<std::string>
      own_interfaces;            // whose addresses are Sluice's, or its predecessor's: not the host's
  std::vector<Prefix> prefixes;  // of a family without any: all
  bool primary = false;          // only the node's own
};
struct HostAddresses {
  std::set<std::string> all;
  std::vector<Address> node_ports;
};
HostAddresses Sort(const std::vector<LocalInterfaceAddress>& addresses, const NodePortChoice& choice,
                   const std::vector<Address>& node_addresses);

}  // namespace sluice::kubernetes
