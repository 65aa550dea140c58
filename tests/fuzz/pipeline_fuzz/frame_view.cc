// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/frame_view.h"

#include <algorithm>
#include <cstdio>

namespace sluice::fuzz {

std::string Hex(ByteSpan bytes) {
  constexpr size_t kMost = 120;
  std::string text;
  char digits[3];
  for (size_t i = 0; i < bytes.size() && i < kMost; ++i) {
    std::snprintf(digits, sizeof digits, "%02x", bytes[i]);
    text += digits;
  }
  return text;
}

uint16_t PlainSum(ByteSpan bytes, uint32_t sum) {
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += Get16(&bytes[i]);
  if (bytes.size() & 1) sum += static_cast<uint32_t>(bytes.back() << 8);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint32_t PlainCrc32c(ByteSpan bytes) {
  uint32_t crc = 0xffffffff;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) ? 0x82f63b78 : 0);
  }
  return ~crc;
}

namespace {

std::optional<IpView> LookAtIpv4(ByteSpan bytes, bool may_be_cut) {
  if (bytes.size() < 20) return std::nullopt;
  IpView ip{.bytes = bytes};
  ip.header = (bytes[0] & 15) * 4u;
  ip.total = Get16(&bytes[2]);
  if (ip.header < 20 || bytes.size() < ip.header || (ip.total < ip.header && !may_be_cut))
    return std::nullopt;
  ip.has_extensions = ip.header > 20;
  ip.identification = Get16(&bytes[4]);
  const uint16_t fragment = Get16(&bytes[6]);
  ip.dont_fragment = (fragment & 0x4000) != 0;
  ip.more_fragments = (fragment & 0x2000) != 0;
  ip.fragment_offset = (fragment & 0x1fff) * 8u;
  ip.ttl = bytes[8];
  ip.protocol = bytes[9];
  ip.source = Address::FromV4(&bytes[12]);
  ip.destination = Address::FromV4(&bytes[16]);
  return ip;
}

bool IsExtension(uint8_t protocol) {
  return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 51 || protocol == 60;
}

std::optional<IpView> LookAtIpv6(ByteSpan bytes, bool may_be_cut) {
  if (bytes.size() < 40) return std::nullopt;
  IpView ip{.bytes = bytes, .is_v6 = true};
  ip.total = 40u + Get16(&bytes[4]);
  ip.header = 40;
  ip.protocol = bytes[6];
  ip.ttl = bytes[7];
  ip.source = Address::FromV6(&bytes[8]);
  ip.destination = Address::FromV6(&bytes[24]);
  while (IsExtension(ip.protocol) && ip.fragment_offset == 0) {
    if (bytes.size() < ip.header + 8) return std::nullopt;
    const uint8_t* extension = &bytes[ip.header];
    uint32_t length = (extension[1] + 1u) * 8;
    if (ip.protocol == 44) {
      length = 8;
      ip.fragment_offset = Get16(extension + 2) & 0xfff8u;
      ip.more_fragments = (extension[3] & 1) != 0;
      ip.identification = static_cast<uint32_t>(Get16(extension + 4) << 16 | Get16(extension + 6));
    } else if (ip.protocol == 51) {
      length = (extension[1] + 2u) * 4;
    }
    ip.has_extensions = true;
    ip.protocol = extension[0];
    ip.header += length;
    if (ip.header > bytes.size() || (ip.header > ip.total && !may_be_cut)) return std::nullopt;
  }
  return ip;
}

uint32_t PseudoHeader(const IpView& ip, uint32_t length) {
  const ByteSpan addresses = ip.is_v6 ? ip.bytes.subspan(8, 32) : ip.bytes.subspan(12, 8);
  return uint32_t{PlainSum(addresses)} + ip.protocol + (length >> 16) + (length & 0xffff);
}

Soundness UdpSoundness(const IpView& ip) {
  const ByteSpan udp = ip.payload();
  if (udp.size() < 8) return Soundness::kNobodyKnows;
  const uint16_t length = Get16(&udp[4]);
  if (length < 8 || length > udp.size()) return Soundness::kNobodyKnows;
  if (Get16(&udp[6]) == 0) return ip.is_v6 ? Soundness::kWrong : Soundness::kRight;
  return PlainSum(udp.first(length), PseudoHeader(ip, length)) == 0xffff ? Soundness::kRight
                                                                         : Soundness::kWrong;
}

Soundness SctpSoundness(const IpView& ip) {
  FrameBytes sctp(ip.payload().begin(), ip.payload().end());
  if (sctp.size() < 12) return Soundness::kNobodyKnows;
  uint32_t stated;
  std::memcpy(&stated, &sctp[8], 4);
  std::memset(&sctp[8], 0, 4);
  return stated == PlainCrc32c(sctp) ? Soundness::kRight : Soundness::kWrong;
}

}  // namespace

std::string IpView::ToText() const {
  std::string text = source.ToText() + " > " + destination.ToText() + " protocol " + std::to_string(protocol);
  if (HasPorts())
    text += " ports " + std::to_string(source_port()) + " > " + std::to_string(destination_port());
  if (IsFragment())
    text += " fragment " + std::to_string(fragment_offset) + (more_fragments ? " more" : " last");
  return text + " ttl " + std::to_string(ttl) + " total " + std::to_string(total);
}

std::optional<IpView> LookAtIp(ByteSpan bytes, bool may_be_cut) {
  if (bytes.empty()) return std::nullopt;
  const int version = bytes[0] >> 4;
  std::optional<IpView> ip;
  if (version == 4) ip = LookAtIpv4(bytes, may_be_cut);
  if (version == 6) ip = LookAtIpv6(bytes, may_be_cut);
  if (!ip || (!may_be_cut && !ip->IsWhole())) return std::nullopt;
  return ip;
}

FrameView LookAtFrame(ByteSpan frame) {
  FrameView view;
  if (frame.size() < 14) return view;
  std::copy_n(frame.begin(), 6, view.destination_mac.begin());
  std::copy_n(frame.begin() + 6, 6, view.source_mac.begin());
  view.ether_type = Get16(&frame[12]);
  view.ip_at = 14;
  if (view.ether_type == 0x8100 && frame.size() >= 18) {
    view.vlan = Get16(&frame[14]) & 0x0fff;
    view.ether_type = Get16(&frame[16]);
    view.ip_at = 18;
  }
  if (view.ether_type != 0x0800 && view.ether_type != 0x86dd) return view;
  view.ip = LookAtIp(frame.subspan(view.ip_at));
  if (view.ip && view.ip->is_v6 != (view.ether_type == 0x86dd)) view.ip.reset();
  return view;
}

bool IsIpv4HeaderSound(const IpView& ip) { return ip.is_v6 || PlainSum(ip.bytes.first(ip.header)) == 0xffff; }

Soundness TransportSoundness(const IpView& ip) {
  if (ip.IsFragment() || !ip.IsWhole()) return Soundness::kNobodyKnows;
  const ByteSpan bytes = ip.payload();
  const auto length = static_cast<uint32_t>(bytes.size());
  const auto verdict = [](bool right) { return right ? Soundness::kRight : Soundness::kWrong; };
  switch (ip.protocol) {
    case kTcp:
      if (length < 20) return Soundness::kNobodyKnows;
      return verdict(PlainSum(bytes, PseudoHeader(ip, length)) == 0xffff);
    case kUdp: return UdpSoundness(ip);
    case kSctp: return SctpSoundness(ip);
    case kIcmp: return ip.is_v6 || length < 8 ? Soundness::kNobodyKnows : verdict(PlainSum(bytes) == 0xffff);
    case kIcmpv6:
      if (!ip.is_v6 || length < 8) return Soundness::kNobodyKnows;
      return verdict(PlainSum(bytes, PseudoHeader(ip, length)) == 0xffff);
    default: return Soundness::kNobodyKnows;
  }
}

}  // namespace sluice::fuzz
