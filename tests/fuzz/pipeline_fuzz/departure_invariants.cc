// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/fuzz/pipeline_fuzz/invariants.h"
#include "tests/fuzz/pipeline_fuzz/pieces.h"
#include "tests/fuzz/pipeline_fuzz/translation.h"

namespace sluice::fuzz {
namespace {

constexpr uint32_t kLeastIpv6Mtu = 1280;

struct Match {
  const Flow* flow;
  Direction direction;
};

// The connections that the packet may be of.
std::vector<Match> MatchesOf(const IpView& in, const std::vector<Flow>& flows) {
  std::vector<Match> matches;
  const auto quoted = QuotedBy(in);
  if (!in.IsBalanced() && !quoted) return matches;
  if (in.IsBalanced() && in.fragment_offset == 0 && !in.HasPorts()) return matches;
  for (const Flow& flow : flows) {
    const Names of[] = {flow.from_client, (flow.IsNat() ? flow.to_server : flow.from_client).Reversed()};
    for (const Direction direction : {Direction::kIn, Direction::kOut}) {
      const Names& names = of[static_cast<int>(direction)];
      bool is_same = false;
      if (quoted) {
        is_same = NamesOf(*quoted).Reversed() == names;
      } else if (in.fragment_offset != 0) {
        is_same =
            in.protocol == names.protocol && in.source == names.source && in.destination == names.destination;
      } else {
        is_same = NamesOf(in) == names;
      }
      if (is_same) matches.push_back({&flow, direction});
    }
  }
  return matches;
}

// How much more than the link takes; 0: it fits.
size_t Excess(const FrameView& view, const Departure& departure, uint16_t mtu) {
  if (departure.in_pieces) return 0;
  const size_t most = view.ip->is_v6 && mtu < kLeastIpv6Mtu ? kLeastIpv6Mtu : mtu;
  const size_t length = departure.frame.size() - view.ip_at;
  return length > most ? length - most : 0;
}

// Frame without a priority tag, which says nothing about who it is for.
FrameBytes WithoutPriorityTag(const Arrival& arrival) {
  FrameBytes frame = arrival.frame;
  if (LookAtFrame(frame).vlan == 0) frame.erase(frame.begin() + 12, frame.begin() + 16);
  return frame;
}

bool IsWhatCame(const Departure& departure) {
  return departure.frame == departure.arrival.frame ||
         departure.frame == WithoutPriorityTag(departure.arrival);
}

std::string WayFault(const FrameView& view, const Departure& departure, const Address& target,
                     const Book& book) {
  std::string seen = "to " + target.ToText() + " there is no way";
  for (const Way& way : book.WaysTo(target)) {
    seen = "to " + target.ToText() + " by port " + std::to_string(departure.port) +
           ", another VLAN or MAC address";
    if (way.port != departure.port || way.vlan != view.vlan || way.mac != view.destination_mac ||
        way.source_mac != view.source_mac)
      continue;
    return "";
  }
  return seen;
}

class DepartureCheck {
 public:
  DepartureCheck(const Worker& worker, const std::vector<Flow>& flows, const Book& book,
                 Complaints& complaints)
      : worker_(worker), flows_(flows), book_(book), complaints_(complaints) {}

  void Check(const Departure& departure) {
    departure_ = &departure;
    const FrameView in = LookAtFrame(departure.arrival.frame);
    switch (departure.verdict) {
      case Verdict::kKernelInput: return CheckUntouched(in);
      case Verdict::kPeer: return Demand(IsWhatCame(departure), "peer_gets_what_came", "");
      case Verdict::kHeld: return Demand(in.ip && in.ip->fragment_offset != 0, "only_fragments_wait", "");
      case Verdict::kWire:
      case Verdict::kKernelOutput: return departure.answered ? CheckAnswer(in) : CheckForwarded(in);
      // The pieces of a large echo's reply are checked with all other pieces.
      case Verdict::kSplit: return departure.answered ? void() : CheckForwarded(in);
      default: return;
    }
  }

 private:
  void Demand(bool holds, const char* invariant, const std::string& seen) {
    if (!holds) complaints_.Add(invariant, Described(seen));
  }
  std::string Described(const std::string& seen) const {
    const auto in = LookAtFrame(departure_->arrival.frame);
    const auto out = departure_->verdict == Verdict::kKernelOutput ? LookAtIp(departure_->frame)
                                                                   : LookAtFrame(departure_->frame).ip;
    return seen + "; in: " + (in.ip ? in.ip->ToText() : "?") + " frame " +
           std::to_string(departure_->arrival.frame.size()) +
           (in.vlan ? " vlan " + std::to_string(*in.vlan) : "") + "; out: " + (out ? out->ToText() : "?") +
           " frame " + std::to_string(departure_->frame.size()) + "; came as " +
           Hex(departure_->arrival.frame);
  }

  void CheckUntouched(const FrameView& in) {
    Demand(IsWhatCame(*departure_), "kernel_gets_what_came", "");
    const bool is_foreign = in.vlan && *in.vlan != 0 && !book_.HasVlan(departure_->arrival.port, *in.vlan);
    Demand(!is_foreign, "no_foreign_vlan", "of a VLAN that the host is not in, given to the kernel");
  }

  void CheckForwarded(const FrameView& in) {
    if (!in.ip) return Demand(false, "only_sound_packets_pass", "forwarded");
    Demand(in.ip->source.IsOfHost() && in.ip->destination.IsOfHost(), "only_hosts_speak", "forwarded");
    Demand(!in.vlan || *in.vlan == 0 || book_.HasVlan(departure_->arrival.port, *in.vlan), "no_foreign_vlan",
           "of a VLAN that the host is not in, forwarded");
    std::vector<Match> matches = MatchesOf(*in.ip, flows_);
    std::vector<Flow> by_itself;
    if (in.ip->HasPorts()) by_itself = book_.OnePacketFlows(NamesOf(*in.ip));
    if (const auto quoted = QuotedBy(*in.ip)) by_itself = book_.OnePacketFlows(NamesOf(*quoted).Reversed());
    for (const Flow& flow : by_itself) matches.push_back({&flow, Direction::kIn});
    Demand(!matches.empty() || in.ip->fragment_offset != 0, "only_connections_pass", "forwarded");
    if (matches.empty() || departure_->verdict == Verdict::kSplit)
      return;  // pieces are looked at by themselves
    std::string fault;
    for (const Match& match : matches) {
      fault = FaultOfMatch(*in.ip, match);
      if (fault.empty()) return;
    }
    Demand(false, "right_packet_to_the_right_host", fault);
  }

  std::string FaultOfMatch(const IpView& in, const Match& match) {
    const FrameView view = LookAtFrame(departure_->frame);
    const bool by_kernel = departure_->verdict == Verdict::kKernelOutput;
    const auto out = by_kernel ? LookAtIp(departure_->frame) : view.ip;
    if (!out) return "what went out is no IP packet";
    const TunnelSpec tunnel = worker_.destinations.way(match.flow->destination).tunnel;
    std::string fault = FaultOf(in, *out, *match.flow, match.direction, tunnel);
    if (!fault.empty()) return fault;
    const Address& target = match.direction == Direction::kIn ? match.flow->server() : match.flow->client();
    if (by_kernel) return departure_->next_stop == target ? "" : "the kernel is to send it to another";
    const bool tunnelled =
        match.direction == Direction::kIn && match.flow->method == ForwardingMethod::kTunnel;
    Demand(!tunnelled || departure_->frame.size() - view.ip_at == out->total, "no_padding_in_tunnels",
           "bytes hang behind");
    CheckSize(view, "packets_fit_the_link");
    return WayFault(view, *departure_, target, book_);
  }

  void CheckSize(const FrameView& view, const char* invariant) {
    const uint16_t mtu = book_.MtuOf(departure_->port, view.vlan);
    Demand(Excess(view, *departure_, mtu) == 0, invariant, "over a link of " + std::to_string(mtu));
  }

  void CheckAnswer(const FrameView& in) {
    const bool by_kernel = departure_->verdict == Verdict::kKernelOutput;
    const FrameView view = LookAtFrame(departure_->frame);
    const auto out = by_kernel ? LookAtIp(departure_->frame) : view.ip;
    if (!out || !in.ip) return Demand(false, "answers_are_sound", "it is no IP packet");
    Demand(IsIpv4HeaderSound(*out) && TransportSoundness(*out) == Soundness::kRight, "answers_are_sound",
           "a checksum is wrong");
    Demand(out->ttl > 1 && out->source.IsOfHost() && out->destination.IsOfHost(), "answers_are_sound",
           "time to live or addresses");
    Demand(in.ip->fragment_offset == 0, "no_answer_to_later_fragments", "answered");
    const bool to_error = IsIcmpError(*in.ip);
    if (!to_error)
      Demand(out->destination == in.ip->source, "answers_go_to_the_sender", "it goes to another");
    if (to_error) Demand(IsToKnownClient(*out), "relayed_errors_go_to_clients", "it goes to nobody's client");
    if (departure_->reply == Reply::kReset)
      Demand(out->protocol == kTcp && in.ip->protocol == kTcp && !(in.ip->payload()[13] & 4) &&
                 out->total == out->header + 20,
             "resets_answer_segments", "");
    if (by_kernel)
      return Demand(departure_->next_stop == out->destination, "answers_go_to_the_sender", "by the kernel");
    const std::string fault = WayFault(view, *departure_, out->destination, book_);
    Demand(fault.empty(), "answers_take_the_way", fault);
    CheckSize(view, "answers_fit_the_link");
  }

  bool IsToKnownClient(const IpView& out) const {
    const auto quoted = QuotedBy(out);
    return quoted && std::any_of(flows_.begin(), flows_.end(),
                                 [&](const Flow& flow) { return flow.from_client == NamesOf(*quoted); });
  }

  const Worker& worker_;
  const std::vector<Flow>& flows_;
  const Book& book_;
  Complaints& complaints_;
  const Departure* departure_ = nullptr;
};

}  // namespace

void CheckDepartures(const Burst& burst, const std::vector<Flow>& flows, const Book& book,
                     Complaints& complaints) {
  DepartureCheck check(*burst.worker, flows, book, complaints);
  for (const Departure& departure : burst.departures) check.Check(departure);
  if (burst.departures.size() == 1 && burst.counted[static_cast<int>(Counter::kKernelVlan)] > 0) {
    const std::optional<uint16_t> vlan = LookAtFrame(burst.departures[0].arrival.frame).vlan;
    complaints.Demand(vlan != 0, "a_priority_tag_is_no_vlan",
                      [] { return "given to the kernel as of a foreign VLAN"; });
  }
  // Put together again, pieces are packets as any other.
  for (const Departure& whole : Reassembled(burst, book, complaints)) check.Check(whole);
}

}  // namespace sluice::fuzz
