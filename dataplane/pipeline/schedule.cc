// Schedule: for packets without a connection. Most make one; the rest are the kernel's, another worker's,
// or refused.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "dataplane/pipeline/admission.h"
#include "dataplane/pipeline/connection_life.h"
#include "dataplane/pipeline/local_source.h"
#include "dataplane/pipeline/stages.h"
#include "dataplane/pipeline/transport_checksum.h"

namespace sluice {
namespace {

bool BelongsToPeer(Worker& worker, Batch& batch, int lane, Be32 client, Be16 client_port) {
  if (worker.workers == 1 || batch.from_peer) return false;
  const uint32_t owner = OwnerOfClient(client, client_port, batch.tuple[lane].protocol(), worker.secret,
                                       static_cast<uint32_t>(worker.workers));
  if (owner == static_cast<uint32_t>(worker.index)) return false;
  batch.owner[lane] = static_cast<uint8_t>(owner);
  batch.verdict[lane] = Verdict::kPeer;
  const FlowTuple& tuple = batch.tuple[lane];
  if (batch.IsLaterFragment(lane))
    batch.packet[lane]->hash.usr = tuple.source_port().raw | uint32_t{tuple.destination_port().raw} << 16;
  return true;
}

bool EndsConnection(Protocol protocol, uint8_t signal) {
  if (protocol == Protocol::kTcp) return signal & kTcpRst;
  return protocol == Protocol::kSctp && signal == kSctpEventAbort;
}

// Not to a service: perhaps a reply whose connection another worker has.
void HandleForeign(Worker& worker, Batch& batch, int lane) {
  const FlowTuple& tuple = batch.tuple[lane];
  const bool reply =
      worker.snapshot->endpoints.IsRealServer(batch.SourceOf(lane), tuple.source_port(), tuple.protocol());
  if (reply && BelongsToPeer(worker, batch, lane, tuple.destination(), tuple.destination_port())) return;
  if (batch.IsAboutFlow(lane) || batch.IsAboutTunnel(lane))
    return GiveToKernel(worker, batch, lane, Counter::kKernelIcmp);
  if (batch.IsLaterFragment(lane)) return GiveToKernel(worker, batch, lane, Counter::kKernelFragment);
  if (reply && worker.settings.nat_icmp_send && !EndsConnection(tuple.protocol(), batch.signal[lane]) &&
      (tuple.IsV6() ? TakeHop(batch.v6(lane)) : TakeHop(batch.v4(lane)))) {
    return AnswerWith(worker, batch, lane, Reply::kNoConnection, Counter::kRefusedReply);
  }
  GiveToKernel(worker, batch, lane, reply ? Counter::kKernelNoConnection : Counter::kKernelNoService);
}

// In TCP, only a SYN opens a connection, whatever else it carries, unless that is RST; in SCTP an INIT. If
// they are sloppy, everything does but RST and ABORT.
bool MayOpen(const Worker& worker, const Batch& batch, int lane) {
  if (batch.IsAboutFlow(lane)) return true;  // schedule_icmp; what it quotes is not the first packet
  const uint8_t signal = batch.signal[lane];
  switch (batch.tuple[lane].protocol()) {
    case Protocol::kTcp: return !(signal & kTcpRst) && (batch.Opens(lane) || worker.settings.sloppy_tcp);
    case Protocol::kSctp:
      return signal != kSctpEventAbort && (batch.Opens(lane) || worker.settings.sloppy_sctp);
    default: return true;
  }
}

// The FTP service gets packets to many ports; only with persistence it is for them.
bool IsFtpData(const Service& service, Be16 port) {
  return service.spec.key.port == kFtpPort && service.spec.key.protocol == Protocol::kTcp &&
         port != kFtpPort && !service.spec.key.HasFwmark();
}

void Refuse(Worker& worker, Batch& batch, int lane, const Service& service) {
  if (batch.IsAboutFlow(lane)) {  // errors are not answered
    Drop(worker, batch, lane, Counter::kRefusedNoDestination);
  } else if (worker.settings.cache_bypass && service.spec.key.HasFwmark()) {
    GiveToKernel(worker, batch, lane, Counter::kKernelBypass);
  } else if (IsFtpData(service, batch.tuple[lane].destination_port())) {
    GiveToKernel(worker, batch, lane, Counter::kKernelFtpData);
  } else if (service.spec.no_destination == NoDestinationPolicy::kIcmp) {
    AnswerWith(worker, batch, lane, Reply::kPortUnreachable, Counter::kRefusedNoDestination);
  } else if (service.spec.no_destination == NoDestinationPolicy::kReset &&
             batch.tuple[lane].protocol() == Protocol::kTcp) {
    AnswerWith(worker, batch, lane, Reply::kReset, Counter::kRefusedNoDestination);
  } else {
    Drop(worker, batch, lane, Counter::kRefusedNoDestination);
  }
}

const Candidate* PickCandidate(const Service& service, const FlowKey& key) {
  const int chosen = service.scheduler->Pick(key, service.candidates);
  return chosen == kNoCandidate ? nullptr : &service.candidates[chosen];
}

bool AssignByScheduler(Worker& worker, Batch& batch, int lane, const Service& service,
                       Assignment& assignment) {
  const FlowTuple& tuple = batch.tuple[lane];
  const bool right_port = service.has_fwmark || service.port == tuple.destination_port();
  const Candidate* candidate = right_port ? PickCandidate(service, batch.KeyOf(lane)) : nullptr;
  if (candidate == nullptr) {
    Refuse(worker, batch, lane, service);
    return false;
  }
  __builtin_prefetch(&worker.statistics[candidate->id], 1);
  assignment = {.address = candidate->address,
                .port = candidate->port == Be16{} ? tuple.destination_port() : candidate->port,
                .destination_id = candidate->id,
                .method = worker.destinations.way(candidate->id).method};
  return true;
}

bool AssignByTemplate(Worker& worker, Batch& batch, int lane, const Service& service,
                      Assignment& assignment) {
  const FlowTuple& tuple = batch.tuple[lane];
  const FlowKey flow = batch.KeyOf(lane);
  const PersistenceTable::Wish wish = {
      .key = TemplateKeyOf(service.spec, flow),
      .timeout = JiffiesFromSeconds(service.spec.persistence.timeout_seconds),
      .expire_quiescent = worker.settings.expire_quiescent_template};
  const PersistenceTable::Joined joined =
      worker.persistence.Join(wish, worker.now, [&] { return PickCandidate(service, flow); });
  if (joined.id == kNoTemplate) {
    if (joined.full) {
      Drop(worker, batch, lane, Counter::kRefusedTemplatesFull);
    } else {
      Refuse(worker, batch, lane, service);
    }
    return false;
  }
  if (joined.evicted) {
    worker.counters.Add(joined.evicted == TemplateList::kIdle ? Counter::kTemplatesEvictedIdle
                                                              : Counter::kTemplatesEvictedUnassured);
  }
  const bool own_port = tuple.destination_port() == service.spec.key.port && joined.port != Be16{};
  assignment = {.address = joined.address,
                .port = own_port ? joined.port : tuple.destination_port(),
                .destination_id = joined.destination_id,
                .method = worker.destinations.way(joined.destination_id).method,
                .template_id = joined.id};
  return true;
}

void MakeOnePacket(Worker& worker, Batch& batch, int lane, const Assignment& assignment) {
  const NewConnection made = MakeConnection(worker, batch.tuple[lane], batch.addresses[lane], assignment);
  batch.one_packet[lane] = made.connection;
  batch.one_packet_addresses[lane] = made.addresses;
  Connection& connection = batch.one_packet[lane];
  connection.flags |= kConnectionOnePacket | kConnectionAnswered;
  connection.template_id = kNoTemplate;
  if (assignment.template_id != kNoTemplate) worker.persistence.Leave(assignment.template_id);
  batch.connection[lane] = &connection;
  batch.connection_addresses[lane] = &batch.one_packet_addresses[lane];
  StatisticsLine::Add(worker.statistics[assignment.destination_id].connections, 1);
  worker.counters.Add(Counter::kOnePacket);
}

bool MakeLasting(Worker& worker, Batch& batch, int lane, const Assignment& assignment) {
  NewConnection wanted = MakeConnection(worker, batch.tuple[lane], batch.addresses[lane], assignment);
  const bool has_states = !batch.IsAboutFlow(lane) && wanted.connection.protocol != Protocol::kUdp;
  if (has_states)
    EnterFirstState(wanted, NextState(worker, wanted.connection, Direction::kIn, batch.signal[lane]));
  Connection* connection = Admit(worker, batch, lane, wanted);
  if (connection == nullptr) {
    Forgo(worker, assignment, batch.tuple[lane].protocol());
    return false;
  }
  // The next pick, perhaps in this very burst, must see the load as this packet leaves it.
  if (batch.IsAboutFlow(lane)) {
    LiveBriefly(worker, *connection);
  } else if (has_states) {
    ChangeState(worker, *connection, connection->state);
  }
  batch.connection[lane] = connection;
  batch.connection_addresses[lane] = &worker.connections.AddressesOf(*connection);
  return true;
}

bool ScheduleLane(Worker& worker, Batch& batch, int lane) {
  const FlowTuple& tuple = batch.tuple[lane];
  const Service* service = batch.service[lane];
  if (service == nullptr) {
    HandleForeign(worker, batch, lane);
    return false;
  }
  if ((batch.IsAboutFlow(lane) && !worker.settings.schedule_icmp) || batch.IsAboutTunnel(lane)) {
    GiveToKernel(worker, batch, lane, Counter::kKernelIcmp);
    return false;
  }
  if (batch.IsLaterFragment(lane)) {  // the first was refused
    Drop(worker, batch, lane, Counter::kDropFragmentOfNone);
    return false;
  }
  if (!MayOpen(worker, batch, lane)) {
    GiveToKernel(worker, batch, lane, Counter::kKernelNoConnection);
    return false;
  }
  if (!batch.SourceOf(lane).CanBeHost()) {
    Drop(worker, batch, lane, Counter::kDropIpSource);
    return false;
  }
  if (service->sources != nullptr && !service->sources->Admits(batch.SourceOf(lane))) {
    Drop(worker, batch, lane, Counter::kRefusedSource);
    return false;
  }
  if (!worker.openings.Take()) {
    Drop(worker, batch, lane, Counter::kDropOverload);
    return false;
  }
  if (!MayMoveState(batch, lane)) {
    Drop(worker, batch, lane, Counter::kDropTransportChecksum);
    return false;
  }
  if (worker.defence.DropsThisPacket()) {
    Drop(worker, batch, lane, Counter::kDropDefence);
    return false;
  }
  constexpr Be16 kFtpDataPort = Be16::FromHost(20);
  if (tuple.source_port() == kFtpDataPort) {  // active FTP's, from a real server
    GiveToKernel(worker, batch, lane, Counter::kKernelFtpData);
    return false;
  }
  Assignment assignment;
  if (!(service->is_persistent ? AssignByTemplate(worker, batch, lane, *service, assignment)
                               : AssignByScheduler(worker, batch, lane, *service, assignment))) {
    return false;
  }
  if (!TakeLocalSource(worker, batch, lane, *service, assignment)) {
    Forgo(worker, {.template_id = assignment.template_id}, tuple.protocol());
    return false;
  }
  batch.direction[lane] = Direction::kIn;
  batch.traits[lane] = worker.destinations.traits(assignment.destination_id);
  batch.scheduled |= LaneBit(lane);
  if (service->one_packet && tuple.protocol() == Protocol::kUdp) {
    MakeOnePacket(worker, batch, lane, assignment);
    return true;
  }
  return MakeLasting(worker, batch, lane, assignment);
}

// What becomes of a connection that must make way.
void ReplaceConnection(Worker& worker, Batch& batch, int lane) {
  Connection* connection = batch.connection[lane];
  worker.counters.Add(IsClosedState(connection->protocol, connection->state)
                          ? Counter::kConnectionsReused
                          : Counter::kConnectionsRescheduled);
  RemoveInBurst(worker, batch, lane, connection);
  batch.connection[lane] = nullptr;
}

// Which of these will be picked nobody knows yet, but all of them are soon asked for.
constexpr size_t kFewCandidates = 4;

void FindServices(const Worker& worker, Batch& batch, LaneMask lanes) {
  for (int lane : Lanes(lanes)) {
    const FlowTuple& tuple = batch.tuple[lane];
    worker.snapshot->endpoints.PrefetchService(batch.DestinationOf(lane), tuple.destination_port(),
                                               tuple.protocol());
  }
  for (int lane : Lanes(lanes)) {
    const FlowTuple& tuple = batch.tuple[lane];
    batch.service[lane] =
        worker.snapshot->FindService(batch.DestinationOf(lane), tuple.destination_port(), tuple.protocol());
    __builtin_prefetch(batch.service[lane]);
  }
}

// Packets to services whose connections are another worker's.
LaneMask HandOver(Worker& worker, Batch& batch, LaneMask lanes) {
  if (worker.workers == 1 || batch.from_peer) return 0;
  LaneMask gone = 0;
  for (int lane : Lanes(lanes)) {
    const FlowTuple& tuple = batch.tuple[lane];
    if (batch.service[lane] != nullptr &&
        BelongsToPeer(worker, batch, lane, tuple.source(), tuple.source_port()))
      gone |= LaneBit(lane);
  }
  return gone;
}

// Among many services each is a chain of memory that nobody has touched for long: all of a burst are asked
// for together, link by link.
void PrefetchServices(const Batch& batch, LaneMask lanes) {
  for (int lane : Lanes(lanes)) {
    const Service* service = batch.service[lane];
    if (service == nullptr) continue;
    __builtin_prefetch(service->scheduler.get());
    const size_t few = std::min(service->candidates.size(), kFewCandidates);
    for (size_t i = 0; i < few; ++i) __builtin_prefetch(&service->candidates[i]);
  }
  for (int lane : Lanes(lanes)) {
    const Service* service = batch.service[lane];
    if (service == nullptr) continue;
    service->scheduler->Prefetch();
    if (service->candidates.size() > kFewCandidates) continue;
    for (const Candidate& candidate : service->candidates) {
      __builtin_prefetch(candidate.load, 1);
      __builtin_prefetch(candidate.group);
    }
  }
}

}  // namespace

LaneMask Schedule(Worker& worker, Batch& batch, LaneMask fresh) {
  if (fresh == 0) return 0;
  FindServices(worker, batch, fresh);
  LaneMask refused = HandOver(worker, batch, fresh);
  fresh &= ~refused;
  if (!worker.openings.IsExhausted()) {
    PrefetchServices(batch, fresh);
    PrefetchRoom(worker, std::popcount(fresh));
  }
  bool created_any = false;
  for (int lane : Lanes(fresh)) {
    if (batch.verdict[lane] != Verdict::kNone) {  // replaced by an earlier lane
      refused |= LaneBit(lane);
      continue;
    }
    // An earlier packet of this burst may have made the connection.
    if (created_any) {
      const ConnectionEntry entry =
          worker.connections.Search(batch.tuple[lane], batch.addresses[lane], batch.hash[lane]);
      if (entry != 0 && &worker.connections.At(entry) != batch.connection[lane]) {
        batch.connection[lane] = &worker.connections.At(entry);
        batch.connection_addresses[lane] = &worker.connections.AddressesOf(*batch.connection[lane]);
        batch.direction[lane] = ConnectionTable::DirectionOf(entry);
        batch.traits[lane] = worker.destinations.traits(batch.connection[lane]->destination_id);
        continue;
      }
    }
    if (batch.connection[lane] != nullptr) ReplaceConnection(worker, batch, lane);
    if (ScheduleLane(worker, batch, lane)) {
      created_any = true;
    } else {
      refused |= LaneBit(lane);
    }
  }
  worker.connections.FinishInserts();
  return refused;
}

}  // namespace sluice
