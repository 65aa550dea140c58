// SPDX-License-Identifier: Apache-2.0
#include "control/ipvs/connection_list.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "dataplane/conn/protocol_state.h"

namespace sluice {
namespace {

// "0A006301", or of IPv6 "[fd99::1]" or "2001:0db8:...".
std::optional<IpAddress> AddressOf(absl::string_view text) {
  uint32_t v4 = 0;
  if (text.size() == 8 && absl::SimpleHexAtoi(text, &v4)) return IpAddress::FromV4(Be32::FromHost(v4));
  absl::ConsumePrefix(&text, "[");
  absl::ConsumeSuffix(&text, "]");
  return IpAddress::Parse({text.data(), text.size()});
}

std::optional<Be16> PortOf(absl::string_view text) {
  uint32_t port = 0;
  if (text.size() != 4 || !absl::SimpleHexAtoi(text, &port)) return std::nullopt;
  return Be16::FromHost(static_cast<uint16_t>(port));
}

std::string AddressText(const IpAddress& address) {
  if (!address.IsV4()) return absl::StrCat("[", address.ToString(), "]");
  return absl::AsciiStrToUpper(absl::StrCat(absl::Hex(address.V4().ToHost(), absl::kZeroPad8)));
}
std::string PortText(Be16 port) {
  return absl::AsciiStrToUpper(absl::StrCat(absl::Hex(port.ToHost(), absl::kZeroPad4)));
}

// Of templates.
constexpr absl::string_view kNotAssured = "NONE", kAssured = "ASSURED";

std::optional<Protocol> ProtocolOf(absl::string_view name, bool is_template) {
  if (name == "TCP") return Protocol::kTcp;
  if (name == "UDP") return Protocol::kUdp;
  if (name == "SCTP") return Protocol::kSctp;
  if (name == "IP" && is_template) return kNoProtocol;
  return std::nullopt;
}
const char* NameOf(Protocol protocol) {
  switch (protocol) {
    case Protocol::kTcp: return "TCP";
    case Protocol::kUdp: return "UDP";
    case Protocol::kSctp: return "SCTP";
    default: return "IP";
  }
}

std::optional<uint8_t> StateOfTemplate(absl::string_view name) {
  if (name != kAssured && name != kNotAssured) return std::nullopt;
  return name == kAssured;
}

std::optional<uint8_t> StateOf(Protocol protocol, absl::string_view name) {
  const int states = protocol == Protocol::kTcp ? kTcpStates : protocol == Protocol::kSctp ? kSctpStates : 1;
  for (int state = 0; state < states; ++state) {
    const std::string_view known = StateName(protocol, static_cast<uint8_t>(state));
    if (absl::string_view(known.data(), known.size()) == name) return static_cast<uint8_t>(state);
  }
  return std::nullopt;
}

}  // namespace

std::optional<ListedConnection> ParseConnection(const std::string& line) {
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
  if (words.size() < 9) return std::nullopt;
  ListedConnection connection;
  const auto client = AddressOf(words[1]), service = AddressOf(words[3]), server = AddressOf(words[5]);
  const auto client_port = PortOf(words[2]), service_port = PortOf(words[4]), server_port = PortOf(words[6]);
  const bool is_template = client_port == Be16{};
  const auto protocol = ProtocolOf(words[0], is_template);
  if (!protocol || !client || !service || !server || !client_port || !service_port || !server_port)
    return std::nullopt;
  const auto state = is_template ? StateOfTemplate(words[7]) : StateOf(*protocol, words[7]);
  if (!state || !absl::SimpleAtoi(words[8], &connection.expires_seconds)) return std::nullopt;
  connection.flow = {*client, *service, *client_port, *service_port, *protocol};
  connection.server = {*server, *server_port, *protocol};
  connection.state = *state;
  if (words.size() < 11) return connection;
  const auto local = AddressOf(words[9]);
  const auto local_port = PortOf(words[10]);
  if (local && local_port) {
    connection.local_address = *local;
    connection.local_port = *local_port;
  }
  return connection;
}

std::string FormatConnection(const ListedConnection& connection) {
  const FlowKey& flow = connection.flow;
  const std::string_view name = StateName(flow.protocol, connection.state);
  absl::string_view state(name.data(), name.size());
  if (connection.IsTemplate()) state = connection.state != 0 ? kAssured : kNotAssured;
  std::string line =
      absl::StrCat(NameOf(flow.protocol), " ", AddressText(flow.source), " ", PortText(flow.source_port), " ",
                   AddressText(flow.destination), " ", PortText(flow.destination_port), " ",
                   AddressText(connection.server.address), " ", PortText(connection.server.port));
  absl::StrAppend(&line, " ", state, " ", connection.expires_seconds);
  if (connection.local_port != Be16{})
    absl::StrAppend(&line, " ", AddressText(connection.local_address), " ", PortText(connection.local_port));
  return line;
}

absl::StatusOr<std::vector<ListedConnection>> ReadConnectionList(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat(path, ": cannot be read"));
  std::vector<ListedConnection> connections;
  std::vector<char> bytes(1 << 20);
  std::string rest;
  ssize_t got = 0;
  while ((got = read(file, bytes.data(), bytes.size())) > 0) {
    rest.append(bytes.data(), static_cast<size_t>(got));
    size_t begin = 0;
    for (size_t end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', begin)) {
      if (auto connection = ParseConnection(rest.substr(begin, end - begin)))
        connections.push_back(*std::move(connection));
      begin = end + 1;
    }
    rest.erase(0, begin);
  }
  const int error = got < 0 ? errno : 0;
  close(file);
  if (error != 0) return absl::ErrnoToStatus(error, absl::StrCat(path, ": cannot be read"));
  return connections;
}

std::vector<AdoptedConnection> Assign(const std::vector<ListedConnection>& connections,
                                      const Snapshot& snapshot, const DestinationTable& destinations) {
  std::vector<AdoptedConnection> assigned;
  for (const ListedConnection& each : connections) {
    if (each.IsTemplate()) continue;
    const Service* service =
        snapshot.FindService(each.flow.destination, each.flow.destination_port, each.flow.protocol);
    if (service == nullptr || service->spec.one_packet) continue;
    const auto found =
        std::find_if(service->candidates.begin(), service->candidates.end(), [&](const Candidate& candidate) {
          return candidate.address == each.server.address &&
                 (candidate.port == each.server.port || candidate.port == Be16{});
        });
    if (found == service->candidates.end()) continue;
    const bool is_full_nat = destinations.way(found->id).method == ForwardingMethod::kFullNat;
    if (is_full_nat != (each.local_port != Be16{})) continue;
    assigned.push_back({each.flow, each.server, each.local_address, each.local_port, found->id, each.state,
                        each.expires_seconds});
  }
  return assigned;
}

namespace {

// The one whose connections would share this template.
const Service* ServiceOfTemplate(const ListedConnection& listed, const Snapshot& snapshot) {
  const FlowKey& flow = listed.flow;
  if (flow.protocol == kNoProtocol) {
    uint32_t fwmark = 0;
    for (size_t i = 12; i < 16; ++i) fwmark = fwmark << 8 | flow.destination.bytes[i];
    const auto found = snapshot.by_fwmark.find(Snapshot::FwmarkName(fwmark, flow.source));
    return found == snapshot.by_fwmark.end() ? nullptr : found->second;
  }
  for (const Be16 port : {flow.destination_port, kFtpPort}) {
    const Service* service = snapshot.FindService(flow.destination, port, flow.protocol);
    if (service != nullptr && TemplateKeyOf(service->spec, flow).virtual_port == flow.destination_port)
      return service;
  }
  return nullptr;
}

}  // namespace

std::vector<AdoptedTemplate> AssignTemplates(const std::vector<ListedConnection>& connections,
                                             const Snapshot& snapshot) {
  std::vector<AdoptedTemplate> assigned;
  for (const ListedConnection& each : connections) {
    if (!each.IsTemplate()) continue;
    const Service* service = ServiceOfTemplate(each, snapshot);
    if (service == nullptr || service->spec.persistence.timeout_seconds == 0) continue;
    const TemplateKey key = TemplateKeyOf(service->spec, each.flow);
    if (key.client != each.flow.source) continue;  // another netmask's
    const auto candidate =
        std::find_if(service->candidates.begin(), service->candidates.end(), [&](const Candidate& other) {
          return other.address == each.server.address &&
                 (other.port == each.server.port || each.server.port == Be16{});
        });
    if (candidate == service->candidates.end()) continue;
    assigned.push_back({.key = key,
                        .destination = candidate->address,
                        .destination_port = candidate->port,
                        .destination_id = candidate->id,
                        .timeout_seconds = service->spec.persistence.timeout_seconds,
                        .expires_seconds = each.expires_seconds,
                        .assured = each.state != 0});
  }
  return assigned;
}

}  // namespace sluice
