// SPDX-License-Identifier: Apache-2.0
#include "control/connection_filter.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "control/translate.h"
#include "dataplane/conn/protocol_state.h"

namespace sluice {
namespace {

// "10.1.0.1", "10.1.0.1:80", "2001:db8::1", "[2001:db8::1]:80"
bool ParseEndpoint(const std::string& text, std::optional<IpAddress>& address, Be16& port) {
  address = IpAddress::Parse(text);
  if (address) return true;
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon < 2) return false;
  const bool brackets = text.front() == '[' && text[colon - 1] == ']';
  uint32_t number = 0;
  address = IpAddress::Parse(brackets ? text.substr(1, colon - 2) : text.substr(0, colon));
  if (!address || address->IsV4() == brackets || !absl::SimpleAtoi(text.substr(colon + 1), &number) ||
      number == 0 || number > 65535)
    return false;
  port = Be16::FromHost(static_cast<uint16_t>(number));
  return true;
}

bool IsState(const std::string& name) {
  for (int state = 0; state < std::max(kTcpStates, kSctpStates); ++state) {
    for (const Protocol protocol : {Protocol::kTcp, Protocol::kSctp, Protocol::kUdp}) {
      if (StateName(protocol, static_cast<uint8_t>(state)) == name) return true;
    }
  }
  return name == "ASSURED";  // of templates
}

}  // namespace

std::optional<ConnectionFilter> ConnectionFilter::Make(const v1::ListConnectionsRequest& request,
                                                       Problems& problems) {
  const int before = problems.Count();
  ConnectionFilter filter;
  if (const std::string& text = request.client_prefix(); !text.empty()) {
    if (const std::optional<IpAddress> address = IpAddress::Parse(text)) {
      filter.client_prefix_ = {*address, static_cast<uint8_t>(address->bits())};
    } else {
      filter.client_prefix_ = ParsePrefix(text);
    }
    if (!filter.client_prefix_)
      problems.Add(
          v1::INVALID_VALUE, "client_prefix",
          absl::StrCat("\"", text, "\": must be an address or a prefix without host bits, as 10.0.0.0/8"));
  }
  if (const std::string& text = request.destination(); !text.empty()) {
    if (!ParseEndpoint(text, filter.destination_, filter.destination_port_))
      problems.Add(v1::INVALID_VALUE, "destination",
                   absl::StrCat("\"", text, "\": must be ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT"));
  }
  filter.state_ = request.state();
  if (!filter.state_.empty() && !IsState(filter.state_))
    problems.Add(v1::INVALID_VALUE, "state",
                 absl::StrCat("\"", filter.state_, "\": is no state; such are ESTABLISHED, SYN_RECV, UDP"));
  if (problems.Count() > before) return std::nullopt;
  return filter;
}

bool ConnectionFilter::Admits(const ConnectionStatus& connection) const {
  if (members_ && !(*members_)[connection.destination_id]) return false;
  if (client_prefix_) {
    const auto& [prefix, length] = *client_prefix_;
    const IpAddress& client = connection.client.address;
    if (client.Prefix(length) != prefix) return false;
  }
  if (destination_ && connection.destination.address != *destination_) return false;
  if (destination_port_ != Be16{} && connection.destination.port != destination_port_) return false;
  return state_.empty() || connection.state == state_;
}

}  // namespace sluice
