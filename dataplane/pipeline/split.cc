// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/split.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/pipeline/frame.h"

namespace sluice {
namespace {

// Options that are not to be repeated in every fragment become "no operation", as in Linux.
void BlankOptions(uint8_t* options, int length) {
  constexpr uint8_t kEnd = 0;
  constexpr uint8_t kNothing = 1;
  constexpr uint8_t kCopied = 0x80;
  for (int at = 0; at < length;) {
    const uint8_t type = options[at];
    if (type == kEnd) return;
    const int size = type == kNothing || at + 1 >= length ? 1 : std::max<int>(options[at + 1], 2);
    if (!(type & kCopied))
      std::memset(options + at, kNothing, static_cast<size_t>(std::min(size, length - at)));
    at += size;
  }
}

bool CopyBytes(const rte_mbuf& packet, uint32_t at, uint32_t length, char* to) {
  const void* bytes = rte_pktmbuf_read(&packet, at, length, to);
  if (bytes != nullptr && bytes != to) std::memcpy(to, bytes, length);
  return bytes != nullptr;
}

// What is split: the packet as it would go out.
struct Whole {
  const rte_mbuf& packet;
  const uint8_t* ip;
  uint32_t ip_at;  // in the packet
};

struct Slice {
  uint32_t offset;  // in the packet's payload
  uint32_t length;
  bool is_last;
};

// A buffer with the Ethernet header, `header` bytes of the IP header and room for `extra` more, and the
// slice.
rte_mbuf* CopySlice(const Whole& whole, uint32_t header, uint32_t extra, const Slice& slice) {
  rte_mbuf* piece = rte_pktmbuf_alloc(whole.packet.pool);
  if (piece == nullptr) return nullptr;
  const uint32_t front = whole.ip_at + header;
  char* bytes = rte_pktmbuf_append(piece, static_cast<uint16_t>(front + extra + slice.length));
  if (bytes == nullptr || !CopyBytes(whole.packet, 0, front, bytes) ||
      !CopyBytes(whole.packet, front + slice.offset, slice.length, bytes + front + extra)) {
    rte_pktmbuf_free(piece);
    return nullptr;
  }
  piece->port = whole.packet.port;
  return piece;
}

rte_mbuf* MakePieceV4(const Whole& whole, const Slice& slice) {
  const auto& before = *reinterpret_cast<const Ipv4Header*>(whole.ip);
  const auto header = static_cast<uint32_t>(before.header_length());
  rte_mbuf* piece = CopySlice(whole, header, 0, slice);
  if (piece == nullptr) return nullptr;
  auto& ip = *rte_pktmbuf_mtod_offset(piece, Ipv4Header*, whole.ip_at);
  const uint16_t flags = before.flags_and_offset.ToHost();
  const bool more = !slice.is_last || (flags & kIpv4MoreFragments.ToHost());
  const uint32_t offset = (flags & kIpv4FragmentOffset.ToHost()) + slice.offset / 8;
  ip.total_length = Be16::FromHost(static_cast<uint16_t>(header + slice.length));
  ip.flags_and_offset =
      Be16::FromHost(static_cast<uint16_t>(offset | (more ? kIpv4MoreFragments.ToHost() : 0)));
  if (slice.offset > 0)
    BlankOptions(reinterpret_cast<uint8_t*>(&ip + 1), static_cast<int>(header - sizeof(Ipv4Header)));
  ip.checksum = 0;
  ip.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&ip, header)));
  return piece;
}

rte_mbuf* MakePieceV6(const Whole& whole, const Slice& slice, Be32 identification) {
  constexpr uint32_t kFragment = sizeof(Ipv6FragmentHeader);
  rte_mbuf* piece = CopySlice(whole, sizeof(Ipv6Header), kFragment, slice);
  if (piece == nullptr) return nullptr;
  auto& ip = *rte_pktmbuf_mtod_offset(piece, Ipv6Header*, whole.ip_at);
  *reinterpret_cast<Ipv6FragmentHeader*>(&ip + 1) = {
      .next_header = ip.next_header,
      .reserved = 0,
      .offset_and_more = Be16::FromHost(static_cast<uint16_t>(slice.offset | (slice.is_last ? 0 : 1))),
      .identification = identification};
  ip.next_header = kIpv6Fragment;
  ip.payload_length = Be16::FromHost(static_cast<uint16_t>(kFragment + slice.length));
  return piece;
}

}  // namespace

int SplitPacket(const rte_mbuf& packet, const uint8_t* ip, const SplitOptions& options, rte_mbuf** pieces,
                int room) {
  const bool is_v6 = IsV6Header(ip);
  const Whole whole = {packet, ip, BytesBefore(packet, ip)};
  const uint32_t header =
      is_v6 ? uint32_t{sizeof(Ipv6Header)}
            : static_cast<uint32_t>(reinterpret_cast<const Ipv4Header*>(ip)->header_length());
  const uint32_t extra = is_v6 ? uint32_t{sizeof(Ipv6FragmentHeader)} : 0;
  if (options.mtu < header + extra + 8) return 0;
  const uint32_t payload = options.ip_length - header;
  // A piece is in one buffer.
  const uint32_t buffer =
      rte_pktmbuf_data_room_size(packet.pool) - uint32_t{RTE_PKTMBUF_HEADROOM} - whole.ip_at;
  const uint32_t each = (std::min<uint32_t>(options.mtu, buffer) - header - extra) / 8 * 8;
  int count = 0;
  for (uint32_t at = 0; at < payload; at += each) {
    const Slice slice = {at, std::min(each, payload - at), at + each >= payload};
    rte_mbuf* piece = nullptr;
    if (count < room)
      piece = is_v6 ? MakePieceV6(whole, slice, options.identification) : MakePieceV4(whole, slice);
    if (piece == nullptr) {
      rte_pktmbuf_free_bulk(pieces, static_cast<unsigned>(count));
      return 0;
    }
    pieces[count++] = piece;
  }
  return count;
}

}  // namespace sluice
