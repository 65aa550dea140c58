// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/packet_maker.h"

#include <algorithm>

namespace sluice::fuzz {
namespace {

void Add16(FrameBytes& bytes, uint32_t value) {
  bytes.push_back(static_cast<uint8_t>(value >> 8));
  bytes.push_back(static_cast<uint8_t>(value));
}
void AddAll(FrameBytes& bytes, const FrameBytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

uint32_t SumOfAddresses(const Names& names) {
  const size_t size = names.source.size();
  return uint32_t{PlainSum(ByteSpan(names.source.bytes).first(size))} +
         PlainSum(ByteSpan(names.destination.bytes).first(size));
}

}  // namespace

FrameBytes PacketMaker::Transport() const {
  FrameBytes bytes;
  size_t checksum_at = 0;
  if (!icmp.empty()) {
    bytes = icmp;
    checksum_at = 2;
  } else if (names.protocol == kTcp || names.protocol == kUdp || names.protocol == kSctp) {
    Add16(bytes, names.source_port);
    Add16(bytes, names.destination_port);
  }
  if (names.protocol == kTcp) {
    AddAll(bytes, {0, 0, 0, 1, 0, 0, 0, 2, 0x50, tcp_flags, 0x20, 0, 0, 0, 0, 0});
    checksum_at = 16;
  } else if (names.protocol == kUdp) {
    Add16(bytes, static_cast<uint32_t>(8 + payload.size()));
    Add16(bytes, 0);
    checksum_at = 6;
  } else if (names.protocol == kSctp) {
    AddAll(bytes, {0, 0, 0, 7, 0, 0, 0, 0});
    for (const uint8_t type : chunks) AddAll(bytes, {type, 0, 0, 8, 1, 2, 3, 4});
  }
  AddAll(bytes, payload);
  const uint16_t damage = wrong_checksum ? 0x0101 : 0;
  if (names.protocol == kSctp) {
    const uint32_t crc = PlainCrc32c(bytes) ^ damage;
    std::memcpy(&bytes[8], &crc, 4);
  } else if (checksum_at != 0 && !(names.protocol == kUdp && zero_udp_checksum)) {
    const bool has_pseudo_header = icmp.empty() || names.source.is_v6;
    const uint32_t pseudo = SumOfAddresses(names) + names.protocol + static_cast<uint32_t>(bytes.size());
    auto checksum = static_cast<uint16_t>(~PlainSum(bytes, has_pseudo_header ? pseudo : 0));
    if (names.protocol == kUdp && checksum == 0) checksum = 0xffff;
    Set16(&bytes[checksum_at], checksum ^ damage);
  }
  return bytes;
}

FrameBytes PacketMaker::Ip(const FrameBytes& carried, const Slice& slice) const {
  FrameBytes ip;
  if (!names.source.is_v6) {
    const size_t header = 20 + options.size();
    ip = {static_cast<uint8_t>(0x40 | header / 4), type_of_service};
    Add16(ip, static_cast<uint32_t>(header + carried.size()));
    Add16(ip, identification);
    Add16(ip, slice.offset / 8 | (slice.more ? 0x2000 : 0) | (dont_fragment ? 0x4000 : 0));
    AddAll(ip, {ttl, names.protocol, 0, 0});
    ip.insert(ip.end(), names.source.bytes.begin(), names.source.bytes.begin() + 4);
    ip.insert(ip.end(), names.destination.bytes.begin(), names.destination.bytes.begin() + 4);
    AddAll(ip, options);
    Set16(&ip[10], static_cast<uint16_t>(~PlainSum(ip)));
    AddAll(ip, carried);
    return ip;
  }
  std::vector<uint8_t> kinds = extensions;
  if (slice.is_fragment) kinds.push_back(44);
  ip = {static_cast<uint8_t>(0x60 | type_of_service >> 4), static_cast<uint8_t>(type_of_service << 4), 0, 0};
  Add16(ip, static_cast<uint32_t>(kinds.size() * 8 + carried.size()));
  kinds.push_back(names.protocol);
  AddAll(ip, {kinds[0], ttl});
  ip.insert(ip.end(), names.source.bytes.begin(), names.source.bytes.end());
  ip.insert(ip.end(), names.destination.bytes.begin(), names.destination.bytes.end());
  for (size_t i = 0; i + 1 < kinds.size(); ++i) {
    AddAll(ip, {kinds[i + 1], 0});
    if (kinds[i] == 44) {
      Add16(ip, slice.offset | (slice.more ? 1 : 0));
      Add16(ip, identification >> 16);
      Add16(ip, identification);
    } else {
      const bool is_routing = kinds[i] == 43;  // it has nowhere else to go
      AddAll(ip, {static_cast<uint8_t>(is_routing ? 4 : 1), static_cast<uint8_t>(is_routing ? 0 : 4), 0, 0, 0,
                  0});
    }
  }
  AddAll(ip, carried);
  return ip;
}

FrameBytes PacketMaker::InEthernet(const FrameBytes& ip) const {
  FrameBytes frame(kOurMac.begin(), kOurMac.end());
  AddAll(frame, {0x02, 0, 0, 0, 0, 0xc1});
  if (vlan) {
    Add16(frame, 0x8100);
    Add16(frame, *vlan);
  }
  Add16(frame, names.source.is_v6 ? 0x86dd : 0x0800);
  AddAll(frame, ip);
  return frame;
}

std::vector<FrameBytes> PacketMaker::Fragments(size_t each) const {
  const FrameBytes whole = Transport();
  std::vector<FrameBytes> fragments;
  for (size_t at = 0; at < whole.size(); at += each) {
    const size_t length = std::min(each, whole.size() - at);
    const auto from = whole.begin() + static_cast<std::ptrdiff_t>(at);
    const Slice slice = {static_cast<uint32_t>(at), at + length < whole.size(), true};
    fragments.push_back(InEthernet(Ip({from, from + static_cast<std::ptrdiff_t>(length)}, slice)));
  }
  return fragments;
}

}  // namespace sluice::fuzz
