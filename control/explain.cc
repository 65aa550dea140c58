// SPDX-License-Identifier: Apache-2.0
#include "control/explain.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/translate.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice {
namespace {

using Outcome = v1::ExplainResponse;  // whose values they are

class Explanation {
 public:
  Explanation(const FlowKey& flow, const Snapshot& snapshot, Dataplane& dataplane)
      : flow_(flow), snapshot_(snapshot), dataplane_(dataplane) {}

  v1::ExplainResponse Make() {
    const Dataplane::FoundFlow found = dataplane_.FindFlow(flow_);
    response_.set_worker(static_cast<uint32_t>(found.worker));
    Step("worker ", found.worker, " of ", dataplane_.workers(), found.connection ? " has" : " would have",
         " this flow");
    if (found.connection) {
      ByConnection(*found.connection, found.is_reply);
    } else {
      Step("it has no connection");
      ByService();
    }
    return std::move(response_);
  }

 private:
  template <class... Words>
  void Step(const Words&... words) {
    response_.add_steps(absl::StrCat(words...));
  }
  template <class... Words>
  void End(v1::ExplainResponse::Outcome outcome, const Words&... words) {
    Step(words...);
    response_.set_outcome(outcome);
  }

  void ByConnection(const ConnectionStatus& connection, bool is_reply) {
    *response_.mutable_connection() = ToMessage(connection);
    Step("it has a connection: client ", connection.client.ToString(), ", virtual ",
         connection.virtual_endpoint.ToString(), ", real server ", connection.destination.ToString(), ", ",
         std::string(connection.state), ", ends in ", connection.expires_seconds, " s if nothing comes");
    const uint8_t traits = dataplane_.destinations().traits(connection.destination_id);
    if (traits & kDrainOver)
      return End(Outcome::DROPPED, "the time that drain_seconds gave its real server is over: it is reset");
    if (is_reply) {
      Step("it is the real server's answer: its source becomes ", connection.virtual_endpoint.ToString());
      return Leave(connection.client.address);
    }
    if (!(traits & kAvailable))
      return End(Outcome::DROPPED, "its real server was removed: dropped until the connection's time is up");
    Forward(connection.destination_id, connection.destination, nullptr);
  }

  void ByService() {
    const Service* service = snapshot_.FindService(flow_.destination, flow_.destination_port, flow_.protocol);
    if (service == nullptr) {
      const bool reply = snapshot_.endpoints.IsRealServer(flow_.source, flow_.source_port, flow_.protocol);
      return End(Outcome::LEFT_TO_KERNEL,
                 reply ? "it is from a real server, but belongs to nothing Sluice knows"
                       : "no service has this address, port and protocol",
                 ": the kernel gets it");
    }
    const ServiceSpec& spec = service->spec;
    *response_.mutable_service() = ToMessage(spec.key);
    Step("service ", NameOf(spec.key),
         flow_.protocol == Protocol::kUdp
             ? ""
             : "; only a packet that opens a connection goes on, others are the kernel's");
    if (!flow_.source.CanBeHost()) return End(Outcome::DROPPED, "nobody can have this source address");
    if (service->sources != nullptr && !service->sources->Admits(flow_.source))
      return End(Outcome::REFUSED, "the service's allow_sources and deny_sources do not admit ",
                 flow_.source.ToString());
    if (flow_.source_port == Be16::FromHost(20))
      return End(Outcome::LEFT_TO_KERNEL, "from port 20 real servers' FTP data comes: the kernel gets it");
    if (spec.persistence.timeout_seconds > 0) {
      const auto found = dataplane_.FindTemplate(spec, flow_, snapshot_.settings.expire_quiescent_template);
      if (found) {
        *response_.mutable_connection() = ToMessage(*found);
        Step("its client is persistent: it stays with the real server it has, for ", found->expires_seconds,
             " more seconds");
        const bool own_port = flow_.destination_port == spec.key.port && found->destination.port != Be16{};
        Endpoint server = found->destination;
        server.protocol = flow_.protocol;
        if (!own_port) server.port = flow_.destination_port;
        return Forward(found->destination_id, server, service);
      }
      Step("its client is not persistent yet");
    } else if (!spec.key.HasFwmark() && spec.key.port != flow_.destination_port) {
      return Refuse(*service, "the service has another port and is not persistent");
    }
    Schedule(*service);
  }

  void Schedule(const Service& service) {
    const int chosen = service.scheduler->Foresee(flow_, service.candidates);
    response_.set_scheduler(service.spec.scheduler);
    for (int i = 0; i < static_cast<int>(service.candidates.size()); ++i) {
      const Candidate& candidate = service.candidates[static_cast<size_t>(i)];
      v1::ExplainResponse::Candidate& told = *response_.add_candidates();
      const int32_t active = std::max(candidate.load->Active(), 0);
      told.set_address(candidate.address.ToString());
      told.set_port(candidate.port.ToHost());
      told.set_weight(static_cast<uint32_t>(candidate.weight));
      told.set_active_connections(static_cast<uint32_t>(active));
      told.set_inactive_connections(static_cast<uint32_t>(std::max(candidate.load->Total() - active, 0)));
      told.set_accepts(candidate.CanAccept());
      told.set_chosen(i == chosen);
    }
    if (chosen == kNoCandidate) {
      return Refuse(service, service.candidates.empty()
                                 ? "it has no real server"
                                 : "the scheduler finds no real server: those with a weight "
                                   "above 0 are overloaded or there are none");
    }
    const Candidate& candidate = service.candidates[static_cast<size_t>(chosen)];
    Step("scheduler ", service.spec.scheduler, " chooses among ", service.candidates.size(), ", as of now",
         service.spec.scheduler == "twos" ? " by lot" : "");
    const Be16 port = candidate.port == Be16{} ? flow_.destination_port : candidate.port;
    Forward(candidate.id, {candidate.address, port, flow_.protocol}, &service);
  }

  void Refuse(const Service& service, const std::string& why) {
    const bool bypass = snapshot_.settings.cache_bypass && service.spec.key.HasFwmark();
    if (bypass) return End(Outcome::LEFT_TO_KERNEL, why, "; cache_bypass is on: the kernel gets it");
    const NoDestinationPolicy policy = service.spec.no_destination;
    const bool reset = policy == NoDestinationPolicy::kReset && flow_.protocol == Protocol::kTcp;
    End(Outcome::REFUSED, why, ": the client gets ",
        policy == NoDestinationPolicy::kIcmp ? "an ICMP port unreachable"
        : reset                              ? "a TCP reset"
                                             : "nothing");
  }

  // `service`: of a connection that is yet to be made.
  void Forward(DestinationId id, const Endpoint& server, const Service* service) {
    const DestinationTable::Way way = dataplane_.destinations().way(id);
    switch (way.method) {
      case ForwardingMethod::kNat: Step("NAT: its destination becomes ", server.ToString()); break;
      case ForwardingMethod::kDirect:
        Step("direct routing: unchanged, to the MAC address of ", server.address.ToString());
        break;
      case ForwardingMethod::kTunnel: {
        constexpr const char* kNames[] = {"IPIP", "GUE", "GRE"};
        Step("tunnel: unchanged, in ", kNames[static_cast<int>(way.tunnel.type)], " to ",
             server.address.ToString());
        break;
      }
      case ForwardingMethod::kFullNat:
        if (!FullNat(id, server, service)) return;
        break;
    }
    Leave(server.address);
  }

  bool FullNat(DestinationId id, const Endpoint& server, const Service* service) {
    std::string sources;
    if (service != nullptr) {
      const auto found = service->local_sources.find(id);
      for (const LocalSource& source :
           found == service->local_sources.end() ? std::vector<LocalSource>() : found->second) {
        if (source.protocol == flow_.protocol)
          absl::StrAppend(&sources, sources.empty() ? "" : " or ", source.address.ToString());
      }
      if (sources.empty()) {
        End(Outcome::REFUSED,
            "full NAT, but there is no local address for it: add one with sluiceadm --add-laddr");
        return false;
      }
    }
    Step("full NAT: its destination becomes ", server.ToString(), ", its source a port of ",
         sources.empty() ? "the local address the connection has" : sources);
    return true;
  }

  void Leave(const IpAddress& towards) {
    const Way way = dataplane_.WayTowards(towards);
    switch (way.hop.kind) {
      case NextHopKind::kWire:
        response_.set_port(way.port);
        return End(Outcome::FORWARDED, "it leaves by port ", way.port, " to ", way.hop.destination.ToString(),
                   way.hop.vlan != 0 ? absl::StrCat(", VLAN ", way.hop.vlan) : "", ", MTU ", way.hop.mtu);
      case NextHopKind::kKernel:
        return End(
            Outcome::FORWARDED, "the kernel sends it, because the MAC address of ", towards.ToString(),
            " or its gateway is not known yet, or its route leaves by an interface that is not Sluice's");
      case NextHopKind::kHost:
        return End(Outcome::LEFT_TO_KERNEL, towards.ToString(), " is the host's own: the kernel gets it");
      case NextHopKind::kNoRoute: return End(Outcome::DROPPED, "there is no route to ", towards.ToString());
    }
  }

  const FlowKey& flow_;
  const Snapshot& snapshot_;
  Dataplane& dataplane_;
  v1::ExplainResponse response_;
};

}  // namespace

v1::ExplainResponse Explain(const FlowKey& flow, const Snapshot& snapshot, Dataplane& dataplane) {
  return Explanation(flow, snapshot, dataplane).Make();
}

}  // namespace sluice
