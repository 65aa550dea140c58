// SPDX-License-Identifier: Apache-2.0
#include "bench/wire/options.h"

#include <algorithm>
#include <functional>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {

const char kWireUsage[] =
    "sluice-bench client --to ADDRESS:PORT [OPTION VALUE]...\n"
    "sluice-bench server --listen ADDRESS:PORT [--listen ADDRESS:PORT]... [OPTION VALUE]...\n"
    "\n"
    "Measures a balancer from outside, whichever it is. IPv6: [ADDRESS]:PORT.\n"
    "\n"
    "Both:\n"
    "  --seconds N       how long (10; a server: until it is interrupted)\n"
    "  --format F        text or json (text)\n"
    "Client:\n"
    "  --protocol P      udp: packets of many flows; tcp: connections, opened and closed (udp)\n"
    "  --from NETWORK    its clients' addresses: 10.9.0.0/16. With udp they must be routed here, but be none "
    "of\n"
    "                    this host's own; with tcp they must be this host's. Of tcp: whatever the host "
    "takes\n"
    "  --rate R          packets or connections a second: 1000, 50k, 1M (as many as it can)\n"
    "  --flows N         udp: established flows, which take turns (1024)\n"
    "  --new SHARE       udp: so many packets are the first of a flow: 10% (0%)\n"
    "  --size BYTES      udp: of a frame, without its check sequence (60)\n"
    "  --one-way yes     udp: nobody answers; the server counts\n"
    "  --concurrency N   tcp: connections at the same time (64)\n"
    "Server: echoes UDP, takes and echoes TCP\n"
    "  --answer no       only counts\n"
    "\n"
    "udp needs root: it sends packets of other addresses.\n"
    "Exit status: 0; 1 if it could not do it; 2 for wrong use.\n";

namespace {

absl::Status Wrong(const std::string& name, const std::string& value, const char* rule) {
  return absl::InvalidArgumentError(absl::StrCat(name, " ", value, ": ", rule));
}

bool ParseNumber(std::string text, double& number) {
  double factor = 1;
  if (text.ends_with('k')) factor = 1e3;
  if (text.ends_with('M')) factor = 1e6;
  if (factor > 1) text.pop_back();
  if (!absl::SimpleAtod(text, &number) || !(number > 0)) return false;
  number *= factor;
  return number < 4e9;
}

bool ParseShare(std::string text, double& share) {
  if (!text.ends_with('%')) return false;
  text.pop_back();
  if (!absl::SimpleAtod(text, &share)) return false;
  share /= 100;
  return share >= 0 && share <= 1;
}

bool ParseEndpoint(const std::string& text, Endpoint& endpoint) {
  const size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 1 ||
      port > 65535)
    return false;
  std::string address = text.substr(0, colon);
  const bool is_v6 = address.starts_with('[') && address.ends_with(']');
  if (is_v6) address = address.substr(1, address.size() - 2);
  const auto parsed = IpAddress::Parse(address);
  if (!parsed || parsed->IsV4() == is_v6) return false;
  endpoint.address = *parsed;
  endpoint.port = Be16::FromHost(static_cast<uint16_t>(port));
  return true;
}

// Its first and last address are left out, as if it were a link's.
bool ParseNetwork(const std::string& text, WireOptions& options) {
  const size_t slash = text.find('/');
  const auto address = IpAddress::Parse(text.substr(0, slash));
  if (!address) return false;
  const int bits = address->IsV4() ? 32 : 128;
  int length = bits;
  if (slash != std::string::npos && !absl::SimpleAtoi(text.substr(slash + 1), &length)) return false;
  if (length < 8 || length > bits) return false;
  const int free_bits = std::min(bits - length, 16);
  options.first_source = address->Prefix(128 - (bits - length));
  options.sources = 1;
  if (free_bits >= 2) {
    options.first_source.bytes[15] |= 1;
    options.sources = (1u << free_bits) - 2;
  }
  return true;
}

}  // namespace

absl::StatusOr<WireOptions> ParseWireOptions(const std::vector<std::string>& words) {
  WireOptions options;
  if (words.empty() || (words[0] != "client" && words[0] != "server"))
    return absl::InvalidArgumentError("which side? client or server");
  options.is_server = words[0] == "server";
  if (options.is_server) options.seconds = 0;
  bool has_target = false;
  double number = 0;
  for (size_t i = 1; i < words.size(); i += 2) {
    const std::string& name = words[i];
    if (i + 1 == words.size()) return absl::InvalidArgumentError(absl::StrCat(name, " needs a value"));
    const std::string& value = words[i + 1];
    const auto is = [&](const char* wanted, bool of_server) {
      return name == wanted && options.is_server == of_server;
    };
    if (name == "--seconds") {
      if (!ParseNumber(value, options.seconds)) return Wrong(name, value, "must be a number above 0");
    } else if (name == "--format") {
      if (value != "text" && value != "json") return Wrong(name, value, "must be text or json");
      options.json = value == "json";
    } else if (is("--to", false)) {
      if (!ParseEndpoint(value, options.target))
        return Wrong(name, value, "must be ADDRESS:PORT or [ADDRESS]:PORT");
      has_target = true;
    } else if (is("--protocol", false)) {
      if (value != "udp" && value != "tcp") return Wrong(name, value, "must be udp or tcp");
      options.target.protocol = value == "udp" ? Protocol::kUdp : Protocol::kTcp;
    } else if (is("--from", false)) {
      if (!ParseNetwork(value, options)) return Wrong(name, value, "must be a network, as 10.9.0.0/16");
    } else if (is("--rate", false)) {
      if (!ParseNumber(value, options.rate)) return Wrong(name, value, "must be a number above 0, as 50k");
    } else if (is("--flows", false)) {
      if (!ParseNumber(value, number) || number < 1 || number > 4e6)
        return Wrong(name, value, "must be 1 to 4M");
      options.flows = static_cast<uint32_t>(number);
    } else if (is("--new", false)) {
      if (!ParseShare(value, options.fresh)) return Wrong(name, value, "must be 0% to 100%");
    } else if (is("--size", false)) {
      if (!ParseNumber(value, number) || number < 60 || number > 1514)
        return Wrong(name, value, "must be 60 to 1514");
      options.size = static_cast<uint32_t>(number);
    } else if (is("--one-way", false)) {
      if (value != "yes" && value != "no") return Wrong(name, value, "must be yes or no");
      options.one_way = value == "yes";
    } else if (is("--concurrency", false)) {
      if (!ParseNumber(value, number) || number < 1 || number > 10000)
        return Wrong(name, value, "must be 1 to 10000");
      options.concurrency = static_cast<uint32_t>(number);
    } else if (is("--listen", true)) {
      Endpoint endpoint;
      if (!ParseEndpoint(value, endpoint))
        return Wrong(name, value, "must be ADDRESS:PORT or [ADDRESS]:PORT");
      options.listen.push_back(endpoint);
    } else if (is("--answer", true)) {
      if (value != "yes" && value != "no") return Wrong(name, value, "must be yes or no");
      options.answers = value == "yes";
    } else {
      return absl::InvalidArgumentError(absl::StrCat("a ", words[0], " does not know ", name));
    }
  }
  if (options.is_server)
    return options.listen.empty() ? absl::InvalidArgumentError("a server needs --listen")
                                  : absl::StatusOr<WireOptions>(options);
  if (!has_target) return absl::InvalidArgumentError("a client needs --to");
  const bool is_udp = options.target.protocol == Protocol::kUdp;
  const bool has_source = !options.first_source.IsUnspecified();
  if (is_udp && !has_source)
    return absl::InvalidArgumentError("udp needs --from, the addresses of its clients");
  if (has_source && options.first_source.IsV4() != options.target.address.IsV4())
    return absl::InvalidArgumentError("--from and --to are of different families");
  return options;
}

}  // namespace sluice
