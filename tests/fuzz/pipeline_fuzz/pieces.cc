// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/pieces.h"

namespace sluice::fuzz {
namespace {

struct Group {
  uint16_t port;
  std::vector<FrameView> views;
  FrameBytes front;  // of the first
  uint32_t begin = 0;
  uint32_t end = 0;

  bool GoesOnWith(uint16_t next_port, const FrameView& next) const {
    const IpView& last = *views.back().ip;
    return next_port == port && next.ip->is_v6 == last.is_v6 && next.ip->fragment_offset == end &&
           last.more_fragments && next.ip->source == last.source &&
           next.ip->destination == last.destination && next.ip->identification == last.identification;
  }
};

void CheckPiece(const Burst::Piece& piece, const FrameView& view, const Book& book, Complaints& complaints) {
  const IpView& ip = *view.ip;
  const size_t length = piece.frame.size() - view.ip_at;
  const auto seen = [&] { return ip.ToText() + " frame " + std::to_string(piece.frame.size()); };
  complaints.Demand(IsIpv4HeaderSound(ip) && !ip.dont_fragment && length == ip.total, "pieces_are_sound",
                    seen);
  complaints.Demand(length <= book.MtuOf(piece.port, view.vlan), "pieces_fit_the_link", seen);
}

// The end of a fragment that arrived is where it was, though it be no multiple of eight bytes.
void CheckEnds(const Group& group, const Departure& split, Complaints& complaints) {
  const auto arrived = LookAtFrame(split.arrival.frame).ip;
  const bool arrived_uneven = arrived && arrived->more_fragments && arrived->payload().size() % 8 != 0;
  for (const FrameView& view : group.views) {
    const bool is_last = &view == &group.views.back();
    complaints.Demand(
        !view.ip->more_fragments || view.ip->payload().size() % 8 == 0 || (is_last && arrived_uneven),
        "pieces_are_sound", [&] { return view.ip->ToText() + " ends between"; });
  }
}

// The IP packet that the pieces are of.
FrameBytes Whole(const Group& group) {
  const IpView& first = *group.views.front().ip;
  const IpView& last = *group.views.back().ip;
  const uint32_t header = first.is_v6 ? 40 : first.header;
  FrameBytes ip(first.bytes.begin(), first.bytes.begin() + header);
  for (const FrameView& view : group.views)
    ip.insert(ip.end(), view.ip->payload().begin(), view.ip->payload().end());
  if (first.is_v6) {
    ip[6] = first.protocol;
    Set16(&ip[4], static_cast<uint16_t>(ip.size() - header));
    return ip;
  }
  Set16(&ip[2], static_cast<uint16_t>(ip.size()));
  Set16(&ip[6], static_cast<uint16_t>(group.begin / 8 | (last.more_fragments ? 0x2000 : 0)));
  Set16(&ip[10], 0);
  Set16(&ip[10], static_cast<uint16_t>(~PlainSum(ByteSpan(ip).first(header))));
  return ip;
}

}  // namespace

std::vector<Departure> Reassembled(const Burst& burst, const Book& book, Complaints& complaints) {
  std::vector<const Departure*> split;
  for (const Departure& each : burst.departures) {
    if (each.verdict == Verdict::kSplit) split.push_back(&each);
  }
  const uint64_t in_vain = split.size() - burst.counted[static_cast<int>(Counter::kSplit)];
  // A fragment that was split may go on where the one before it ended.
  const auto begins_another = [&](const IpView& piece, size_t number) {
    if (number >= split.size() || piece.fragment_offset == 0) return false;
    const auto arrived = LookAtFrame(split[number]->arrival.frame).ip;
    return arrived && arrived->fragment_offset == piece.fragment_offset &&
           arrived->identification == piece.identification;
  };
  std::vector<Group> groups;
  for (const Burst::Piece& piece : burst.pieces) {
    const FrameView view = LookAtFrame(piece.frame);
    complaints.Demand(view.ip.has_value(), "pieces_are_sound", [] { return "it is no IP packet"; });
    if (!view.ip) return {};
    CheckPiece(piece, view, book, complaints);
    if (groups.empty() || !groups.back().GoesOnWith(piece.port, view) ||
        begins_another(*view.ip, groups.size())) {
      groups.push_back({.port = piece.port, .begin = view.ip->fragment_offset});
      groups.back().front.assign(piece.frame.begin(),
                                 piece.frame.begin() + static_cast<std::ptrdiff_t>(view.ip_at));
    }
    groups.back().views.push_back(view);
    groups.back().end = view.ip->fragment_offset + static_cast<uint32_t>(view.ip->payload().size());
  }
  if (in_vain > 0) return {};
  complaints.Demand(groups.size() == split.size(), "pieces_are_sound", [&] {
    return std::to_string(groups.size()) + " packets in pieces, " + std::to_string(split.size()) +
           " were split";
  });
  std::vector<Departure> wholes;
  for (size_t i = 0; i < groups.size() && groups.size() == split.size(); ++i) {
    CheckEnds(groups[i], *split[i], complaints);
    Departure whole = *split[i];
    whole.verdict = Verdict::kWire;
    whole.in_pieces = true;
    whole.port = groups[i].port;
    whole.frame = groups[i].front;
    const FrameBytes ip = Whole(groups[i]);
    whole.frame.insert(whole.frame.end(), ip.begin(), ip.end());
    wholes.push_back(std::move(whole));
  }
  return wholes;
}

}  // namespace sluice::fuzz
