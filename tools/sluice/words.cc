// SPDX-License-Identifier: Apache-2.0
#include "tools/sluice/words.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tools/sluiceadm/address.h"

namespace sluice {
namespace {

bool ParseProtocol(const std::string& word, v1::Protocol& protocol, std::string& wrong) {
  if (v1::Protocol_Parse(absl::AsciiStrToUpper(word), &protocol) && protocol != v1::PROTOCOL_UNSPECIFIED)
    return true;
  wrong = absl::StrCat(word, ": must be tcp, udp or sctp");
  return false;
}

bool ParseEndpoint(const std::string& word, v1::Protocol protocol, Address& endpoint, std::string& wrong) {
  const auto parsed = ParseAddress(word, absl::AsciiStrToLower(v1::Protocol_Name(protocol)).c_str());
  if (parsed && parsed->port) {
    endpoint = *parsed;
    return true;
  }
  wrong = absl::StrCat(word, ": must be ADDRESS:PORT or, of IPv6, [ADDRESS]:PORT");
  return false;
}

}  // namespace

bool ParseServiceWords(const std::vector<std::string>& words, v1::ServiceKey& key, std::string& wrong) {
  if (words.size() != 2) {
    wrong = "which service? tcp|udp|sctp ADDRESS:PORT, or fwmark N";
    return false;
  }
  if (words[0] == "fwmark" || words[0] == "fwmark6") {
    uint32_t fwmark = 0;
    if (!ParseNumber(words[1], UINT32_MAX, fwmark) || fwmark == 0) {
      wrong = absl::StrCat(words[1], ": a mark must be 1..4294967295");
      return false;
    }
    key.set_fwmark(fwmark);
    key.set_family(words[0] == "fwmark" ? v1::IPV4 : v1::IPV6);
    return true;
  }
  v1::Protocol protocol;
  Address endpoint;
  if (!ParseProtocol(words[0], protocol, wrong) || !ParseEndpoint(words[1], protocol, endpoint, wrong))
    return false;
  key.set_protocol(protocol);
  key.set_address(endpoint.address);
  key.set_port(*endpoint.port);
  return true;
}

bool ParseFlowWords(const std::vector<std::string>& words, v1::ExplainRequest& flow, std::string& wrong) {
  if (words.size() != 3) {
    wrong = "which packet? tcp|udp|sctp SOURCE:PORT DESTINATION:PORT";
    return false;
  }
  v1::Protocol protocol;
  Address source, destination;
  if (!ParseProtocol(words[0], protocol, wrong) || !ParseEndpoint(words[1], protocol, source, wrong) ||
      !ParseEndpoint(words[2], protocol, destination, wrong))
    return false;
  flow.set_protocol(protocol);
  flow.set_source_address(source.address);
  flow.set_source_port(*source.port);
  flow.set_destination_address(destination.address);
  flow.set_destination_port(*destination.port);
  return true;
}

}  // namespace sluice
