// Writes packets of every protocol, byte by byte: first right, so that what is bent afterwards is nearly so.
// Threads: a value.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "tests/fuzz/pipeline_fuzz/flow.h"
#include "tests/fuzz/pipeline_fuzz/frame_view.h"

namespace sluice::fuzz {

struct PacketMaker {
  Names names;  // the family of the source is the packet's
  uint8_t tcp_flags = 0x10;
  std::vector<uint8_t> chunks;  // SCTP's, eight bytes each
  FrameBytes payload;
  uint8_t ttl = 64;
  uint8_t type_of_service = 0;
  bool dont_fragment = false;
  uint32_t identification = 0x1234;
  FrameBytes options;               // IPv4's, a multiple of four bytes
  std::vector<uint8_t> extensions;  // IPv6's, eight bytes each
  bool zero_udp_checksum = false;
  bool wrong_checksum = false;
  std::optional<uint16_t> vlan;
  FrameBytes icmp;  // instead of a transport: its type, code, 0, 0 and what follows

  FrameBytes Frame() const { return InEthernet(Ip(Transport())); }
  // Fragments of the packet, of so many bytes each (a multiple of eight).
  std::vector<FrameBytes> Fragments(size_t each) const;

  FrameBytes Transport() const;
  FrameBytes InEthernet(const FrameBytes& ip) const;

  struct Slice {
    uint32_t offset = 0;
    bool more = false;
    bool is_fragment = false;
  };
  FrameBytes Ip(const FrameBytes& carried, const Slice& slice) const;
  FrameBytes Ip(const FrameBytes& carried) const { return Ip(carried, {}); }
};

}  // namespace sluice::fuzz
