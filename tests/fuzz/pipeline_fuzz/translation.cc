// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/translation.h"

#include <algorithm>

#include "tests/fuzz/pipeline_fuzz/names.h"

namespace sluice::fuzz {
namespace {

// Where the transport's checksum is, and how long.
std::pair<uint32_t, uint32_t> ChecksumPlace(uint8_t protocol) {
  switch (protocol) {
    case kTcp: return {16, 2};
    case kUdp: return {6, 2};
    case kSctp: return {8, 4};
    default: return {2, 2};
  }
}

// Bytes of a packet of which some may differ.
class Masked {
 public:
  explicit Masked(const IpView& ip)
      : bytes_(ip.bytes.begin(), ip.bytes.begin() + std::min<size_t>(ip.total, ip.bytes.size())) {}

  void Hide(size_t at, size_t length) {
    for (size_t i = at; i < at + length && i < bytes_.size(); ++i) bytes_[i] = 0;
  }
  // The addresses of an IP header, and what is summed up over them.
  void HideAddresses(size_t ip_at, bool is_v6) { is_v6 ? Hide(ip_at + 8, 32) : Hide(ip_at + 10, 10); }
  void HideHop(bool is_v6) {
    Hide(is_v6 ? 7 : 8, 1);
    if (is_v6) return;
    Hide(10, 2);
    if (bytes_.size() > 6) bytes_[6] &= 0x7f;  // the reserved bit is not carried over into fragments
  }
  const FrameBytes& bytes() const { return bytes_; }

 private:
  FrameBytes bytes_;
};

std::string FirstDifference(const Masked& a, const Masked& b) {
  if (a.bytes().size() != b.bytes().size())
    return "it has " + std::to_string(b.bytes().size()) + " bytes instead of " +
           std::to_string(a.bytes().size());
  const auto differ = std::mismatch(a.bytes().begin(), a.bytes().end(), b.bytes().begin());
  if (differ.first == a.bytes().end()) return "";
  return "byte " + std::to_string(differ.first - a.bytes().begin()) + " of it has changed";
}

std::string ChecksumFault(const IpView& in, const IpView& out) {
  if (!IsIpv4HeaderSound(out)) return "the IP checksum is wrong";
  const Soundness before = TransportSoundness(in);
  const Soundness after = TransportSoundness(out);
  if (before == Soundness::kRight && after == Soundness::kWrong)
    return "the transport checksum is wrong, and was right";
  const bool can_tell = in.protocol == kTcp || in.protocol == kUdp;
  if (can_tell && before == Soundness::kWrong && after == Soundness::kRight)
    return "the transport checksum is right, and was wrong: nobody will notice that bytes are broken";
  return "";
}

std::string HopFault(const IpView& in, const IpView& out) {
  if (in.ttl <= 1) return "its time to live was used up";
  if (out.ttl != in.ttl - 1) return "its time to live is " + std::to_string(out.ttl);
  return "";
}

// Names that packets of this direction have once they are translated.
Names Translated(const Flow& flow, Direction direction) {
  if (!flow.IsNat()) return direction == Direction::kIn ? flow.from_client : flow.from_client.Reversed();
  return direction == Direction::kIn ? flow.to_server : flow.from_client.Reversed();
}

std::string NamesFault(const IpView& out, const Names& expected) {
  if (out.source != expected.source || out.destination != expected.destination)
    return "its addresses are not those of " + expected.ToText();
  if (out.HasPorts() &&
      (out.source_port() != expected.source_port || out.destination_port() != expected.destination_port))
    return "its ports are not those of " + expected.ToText();
  return "";
}

std::string FaultOfPlain(const IpView& in, const IpView& out, const Names& expected) {
  if (std::string fault = HopFault(in, out) + NamesFault(out, expected); !fault.empty()) return fault;
  Masked before(in), after(out);
  for (Masked* each : {&before, &after}) {
    each->HideHop(in.is_v6);
    each->HideAddresses(0, in.is_v6);
    if (in.fragment_offset != 0) continue;
    const auto [at, length] = ChecksumPlace(in.protocol);
    each->Hide(in.header, 4);
    each->Hide(in.header + at, length);
  }
  if (std::string fault = FirstDifference(before, after); !fault.empty()) return fault;
  return ChecksumFault(in, out);
}

// Only for NAT: an error about a packet that the receiver sent as the other side knows it.
std::string FaultOfError(const IpView& in, const IpView& out, const Flow& flow, Direction direction) {
  if (std::string fault = HopFault(in, out); !fault.empty()) return fault;
  const auto quoted = QuotedBy(out);
  const auto quoted_before = QuotedBy(in);
  if (!quoted || !quoted_before) return "it quotes nothing";
  const Names expected = Translated(flow, direction);
  if (out.destination != expected.destination)
    return "it goes to another than " + expected.destination.ToText();
  if (std::string fault = NamesFault(*quoted, expected.Reversed()); !fault.empty())
    return "of what it quotes, " + fault;
  if (direction == Direction::kIn && out.source != in.source) return "its source has changed";
  Masked before(in), after(out);
  const size_t quoted_at = in.header + 8;
  for (Masked* each : {&before, &after}) {
    each->HideHop(in.is_v6);
    each->HideAddresses(0, in.is_v6);
    each->Hide(in.header + 2, 2);
    each->HideAddresses(quoted_at, in.is_v6);
    each->Hide(quoted_at + quoted_before->header, 4);
  }
  if (std::string fault = FirstDifference(before, after); !fault.empty()) return fault;
  return ChecksumFault(in, out);
}

struct Opened {
  std::string fault;
  ByteSpan inner;
};

Opened OpenGre(const IpView& outer, const TunnelSpec& tunnel, uint16_t ether_type) {
  const ByteSpan gre = outer.payload();
  const size_t header = tunnel.checksum ? 8 : 4;
  if (outer.protocol != 47 || gre.size() < header) return {"it is not GRE", {}};
  if (Get16(&gre[0]) != (tunnel.checksum ? 0x8000 : 0) || Get16(&gre[2]) != ether_type)
    return {"GRE's header is wrong", {}};
  if (tunnel.checksum && PlainSum(gre) != 0xffff) return {"GRE's checksum is wrong", {}};
  return {"", gre.subspan(header)};
}

Opened OpenGue(const IpView& outer, const TunnelSpec& tunnel, uint8_t protocol) {
  const ByteSpan udp = outer.payload();
  if (outer.protocol != kUdp || udp.size() < 12) return {"it is not GUE", {}};
  if (Get16(&udp[2]) != tunnel.port.ToHost() || Get16(&udp[4]) != udp.size())
    return {"GUE's UDP header is wrong", {}};
  if (udp[8] != 0 || udp[9] != protocol || udp[10] != 0 || udp[11] != 0) return {"GUE's header is wrong", {}};
  const bool has_checksum = Get16(&udp[6]) != 0;
  if (has_checksum != tunnel.checksum) return {"GUE has a checksum, or has none, as was not asked for", {}};
  if (has_checksum && TransportSoundness(outer) != Soundness::kRight) return {"GUE's checksum is wrong", {}};
  return {"", udp.subspan(12)};
}

Opened OpenTunnel(const IpView& outer, const TunnelSpec& tunnel, bool inner_is_v6) {
  const uint8_t protocol = inner_is_v6 ? 41 : 4;
  switch (tunnel.type) {
    case TunnelType::kIpip:
      if (outer.protocol != protocol) return {"it is not IP in IP", {}};
      return {"", outer.payload()};
    case TunnelType::kGre: return OpenGre(outer, tunnel, inner_is_v6 ? 0x86dd : 0x0800);
    case TunnelType::kGue: return OpenGue(outer, tunnel, protocol);
  }
  return {"unknown tunnel", {}};
}

std::string FaultOfTunnel(const IpView& in, const IpView& out, const Flow& flow, const TunnelSpec& tunnel) {
  if (out.source != TunnelSource(out.is_v6)) return "the tunnel begins at " + out.source.ToText();
  if (out.destination != flow.server()) return "the tunnel leads to " + out.destination.ToText();
  if (!IsIpv4HeaderSound(out)) return "the outer IP checksum is wrong";
  if (out.IsFragment()) return "the tunnel's packet is a fragment";
  const Opened opened = OpenTunnel(out, tunnel, in.is_v6);
  if (!opened.fault.empty()) return opened.fault;
  const auto inner = LookAtIp(opened.inner);
  if (!inner || inner->is_v6 != in.is_v6) return "in the tunnel is no packet of the family that came";
  if (inner->total != opened.inner.size()) return "in the tunnel is more than the packet";
  if (out.ttl != inner->ttl) return "the outer time to live is " + std::to_string(out.ttl);
  const std::string fault =
      IsIcmpError(in) ? HopFault(in, *inner) : FaultOfPlain(in, *inner, flow.from_client);
  return fault.empty() ? "" : "inside, " + fault;
}

}  // namespace

Names NamesOf(const IpView& ip) {
  return {ip.protocol, ip.source, ip.source_port(), ip.destination, ip.destination_port()};
}

bool IsIcmpError(const IpView& ip) {
  const ByteSpan icmp = ip.payload();
  if (ip.fragment_offset != 0 || icmp.size() < 8) return false;
  if (ip.is_v6) return ip.protocol == kIcmpv6 && icmp[0] >= 1 && icmp[0] <= 4;
  return ip.protocol == kIcmp && (icmp[0] == 3 || icmp[0] == 4 || icmp[0] == 11 || icmp[0] == 12);
}

std::optional<IpView> QuotedBy(const IpView& icmp) {
  if (!IsIcmpError(icmp)) return std::nullopt;
  auto quoted = LookAtIp(icmp.payload().subspan(8), true);
  if (!quoted || quoted->is_v6 != icmp.is_v6 || !quoted->HasPorts()) return std::nullopt;
  return quoted;
}

std::string FaultOf(const IpView& in, const IpView& out, const Flow& flow, Direction direction,
                    const TunnelSpec& tunnel) {
  if (direction == Direction::kIn && flow.method == ForwardingMethod::kTunnel)
    return FaultOfTunnel(in, out, flow, tunnel);
  if (out.is_v6 != in.is_v6 || out.protocol != in.protocol) return "it has another protocol";
  if (!IsIcmpError(in)) return FaultOfPlain(in, out, Translated(flow, direction));
  if (flow.IsNat()) return FaultOfError(in, out, flow, direction);
  const std::string fault = HopFault(in, out);
  return fault.empty() && (out.source != in.source || out.destination != in.destination)
             ? "its addresses have changed"
             : fault;
}

}  // namespace sluice::fuzz
