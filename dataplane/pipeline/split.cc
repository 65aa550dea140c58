// SPDX-License-Identifier: Apache-2.0
#include "dataplane/pipeline/split.h"

#include <algorithm>
#include <cstring>

#include "dataplane/net/checksum.h"

namespace sluice {
namespace {

constexpr uint32_t kIpStart = sizeof(EthernetHeader);

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

struct Slice {
  uint32_t offset;  // in the packet's payload
  uint32_t length;
  bool is_last;
};

rte_mbuf* MakePiece(const rte_mbuf& packet, const Ipv4Header& whole, const Slice& slice) {
  const auto header = static_cast<uint32_t>(whole.header_length());
  rte_mbuf* piece = rte_pktmbuf_alloc(packet.pool);
  if (piece == nullptr) return nullptr;
  char* bytes = rte_pktmbuf_append(piece, static_cast<uint16_t>(kIpStart + header + slice.length));
  if (bytes == nullptr || !CopyBytes(packet, 0, kIpStart + header, bytes) ||
      !CopyBytes(packet, kIpStart + header + slice.offset, slice.length, bytes + kIpStart + header)) {
    rte_pktmbuf_free(piece);
    return nullptr;
  }
  auto& ip = *reinterpret_cast<Ipv4Header*>(bytes + kIpStart);
  const uint16_t before = whole.flags_and_offset.ToHost();
  const bool more = !slice.is_last || (before & kIpv4MoreFragments.ToHost());
  const uint32_t offset = (before & kIpv4FragmentOffset.ToHost()) + slice.offset / 8;
  ip.total_length = Be16::FromHost(static_cast<uint16_t>(header + slice.length));
  ip.flags_and_offset =
      Be16::FromHost(static_cast<uint16_t>(offset | (more ? kIpv4MoreFragments.ToHost() : 0)));
  if (slice.offset > 0)
    BlankOptions(reinterpret_cast<uint8_t*>(&ip + 1), static_cast<int>(header - sizeof(Ipv4Header)));
  ip.checksum = 0;
  ip.checksum = static_cast<uint16_t>(~FoldSum(SumBytes(&ip, header)));
  piece->port = packet.port;
  return piece;
}

}  // namespace

int SplitPacket(const rte_mbuf& packet, uint16_t mtu, rte_mbuf** pieces, int room) {
  const auto& whole = *rte_pktmbuf_mtod_offset(&packet, const Ipv4Header*, kIpStart);
  const auto header = static_cast<uint32_t>(whole.header_length());
  if (mtu < header + 8) return 0;
  const uint32_t payload = whole.total_length.ToHost() - header;
  const uint32_t each = (mtu - header) / 8 * 8;
  int count = 0;
  for (uint32_t at = 0; at < payload; at += each) {
    const Slice slice = {at, std::min(each, payload - at), at + each >= payload};
    rte_mbuf* piece = count < room ? MakePiece(packet, whole, slice) : nullptr;
    if (piece == nullptr) {
      rte_pktmbuf_free_bulk(pieces, static_cast<unsigned>(count));
      return 0;
    }
    pieces[count++] = piece;
  }
  return count;
}

}  // namespace sluice
