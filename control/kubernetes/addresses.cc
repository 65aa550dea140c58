// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "dataplane/net/ip_address.h"

namespace sluice::kubernetes {
namespace {

// "010.001.0.1" as "10.1.0.1".
std::string WithoutZeros(std::string_view text) {
  std::vector<std::string> numbers = absl::StrSplit(absl::string_view(text.data(), text.size()), '.');
  for (std::string& number : numbers) {
    const size_t first = number.find_first_not_of('0');
    number.erase(0, first == std::string::npos ? number.size() - (number.empty() ? 0 : 1) : first);
  }
  return absl::StrJoin(numbers, ".");
}

std::string TextOf(bool is_v6, const void* bytes) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(is_v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
}

bool CanBeServed(bool is_v6, const uint8_t* bytes) {
  IpAddress address = IpAddress::Unspecified(is_v6 ? AddressFamily::kIpv6 : AddressFamily::kIpv4);
  std::copy_n(bytes, is_v6 ? 16 : 4, address.bytes.begin() + (is_v6 ? 0 : 12));
  const bool is_link_local = is_v6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  return address.CanBeHost() && !is_link_local;
}

}  // namespace

std::optional<Address> ParseAddress(std::string_view text) {
  std::array<uint8_t, 16> bytes{};
  const bool is_v6 = text.find(':') != std::string_view::npos;
  const std::string plain = is_v6 ? std::string(text) : WithoutZeros(text);
  if (inet_pton(is_v6 ? AF_INET6 : AF_INET, plain.c_str(), bytes.data()) != 1) return std::nullopt;
  return Address{TextOf(is_v6, bytes.data()), is_v6, CanBeServed(is_v6, bytes.data())};
}

bool Prefix::Contains(const Address& address) const {
  std::array<uint8_t, 16> other{};
  if (address.is_v6 != is_v6 ||
      inet_pton(is_v6 ? AF_INET6 : AF_INET, address.text.c_str(), other.data()) != 1)
    return false;
  const auto whole = static_cast<size_t>(length / 8);
  if (std::memcmp(bytes.data(), other.data(), whole) != 0) return false;
  const int rest = length % 8;
  return rest == 0 || (bytes[whole] ^ other[whole]) >> (8 - rest) == 0;
}

std::string Prefix::ToString() const { return absl::StrCat(TextOf(is_v6, bytes.data()), "/", length); }

std::optional<Prefix> ParsePrefix(std::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(absl::string_view(text.data(), text.size()));
  const size_t slash = trimmed.find('/');
  const absl::string_view before = trimmed.substr(0, slash);
  const std::optional<Address> address = ParseAddress({before.data(), before.size()});
  if (!address) return std::nullopt;
  Prefix prefix{.is_v6 = address->is_v6};
  const int longest = prefix.is_v6 ? 128 : 32;
  prefix.length = longest;
  if (slash != absl::string_view::npos && (!absl::SimpleAtoi(trimmed.substr(slash + 1), &prefix.length) ||
                                           prefix.length < 0 || prefix.length > longest))
    return std::nullopt;
  inet_pton(prefix.is_v6 ? AF_INET6 : AF_INET, address->text.c_str(), prefix.bytes.data());
  for (int bit = prefix.length; bit < longest; ++bit)
    prefix.bytes[static_cast<size_t>(bit / 8)] &= static_cast<uint8_t>(~(0x80 >> bit % 8));
  return prefix;
}

std::optional<std::vector<LocalInterfaceAddress>> LocalAddresses() {
  std::vector<LocalInterfaceAddress> addresses;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return std::nullopt;
  for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    if (each->ifa_addr->sa_family == AF_INET) {
      const auto& v4 = *reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
      addresses.push_back({each->ifa_name, {TextOf(false, &v4.sin_addr), false}, false});
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      const auto& v6 = *reinterpret_cast<const sockaddr_in6*>(each->ifa_addr);
      addresses.push_back(
          {each->ifa_name, {TextOf(true, &v6.sin6_addr), true}, IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) != 0});
    }
  }
  freeifaddrs(first);
  return addresses;
}

HostAddresses Sort(const std::vector<LocalInterfaceAddress>& addresses, const NodePortChoice& choice,
                   const std::vector<Address>& node_addresses) {
  const auto is_on_own = [&](const LocalInterfaceAddress& each) {
    return std::find(choice.own_interfaces.begin(), choice.own_interfaces.end(), each.interface) !=
           choice.own_interfaces.end();
  };
  // An address that another interface has, too, is a service's all the same, and no node port's.
  std::set<std::string> own;
  for (const LocalInterfaceAddress& each : addresses) {
    if (is_on_own(each)) own.insert(each.address.text);
  }
  HostAddresses sorted;
  for (const LocalInterfaceAddress& each : addresses) {
    if (is_on_own(each) || each.address.IsLoopback() || each.is_link_local) continue;
    sorted.all.insert(each.address.text);
    const auto is_of_family = [&](const Prefix& prefix) { return prefix.is_v6 == each.address.is_v6; };
    const auto is_within = [&](const Prefix& prefix) { return prefix.Contains(each.address); };
    const bool is_chosen =
        choice.primary
            ? std::find(node_addresses.begin(), node_addresses.end(), each.address) != node_addresses.end()
            : std::none_of(choice.prefixes.begin(), choice.prefixes.end(), is_of_family) ||
                  std::any_of(choice.prefixes.begin(), choice.prefixes.end(), is_within);
    if (is_chosen && !own.contains(each.address.text)) sorted.node_ports.push_back(each.address);
  }
  return sorted;
}

}  // namespace sluice::kubernetes
