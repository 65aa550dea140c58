// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/virtual_services.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "control/kubernetes/annotations.h"
#include "control/kubernetes/endpoint_choice.h"

namespace sluice::kubernetes {
namespace {

// What sluiced would refuse is told to the Service's owner here, and the rest of the Service is served.
constexpr char kNoHost[] =
    "is no unicast address that packets can be forwarded to (loopback, link-local, multicast "
    "or reserved)";
constexpr int kMostOfMaglev = 4093;

// Where clients find a port of a Service.
struct Frontend {
  std::string address;
  uint32_t port = 0;
  ClaimKind kind = ClaimKind::kClusterAddress;
  bool has_source_ranges = false;
  bool is_served = true;

  bool is_external() const { return kind != ClaimKind::kClusterAddress; }
};

std::vector<Address> AddressesOf(const std::vector<std::string>& texts, bool is_v6) {
  std::vector<Address> addresses;
  for (const std::string& text : texts) {
    if (const auto address = ParseAddress(text); address && address->is_v6 == is_v6)
      addresses.push_back(*address);
  }
  return addresses;
}

// None: everybody.
std::vector<std::string> SourceRangesOf(const ServiceObject& service, bool is_v6) {
  std::vector<std::string> ranges;
  for (const std::string& text : service.source_ranges) {
    const std::optional<Prefix> prefix = ParsePrefix(text);
    if (!prefix || prefix->is_v6 != is_v6) continue;
    if (prefix->length == 0) return {};
    ranges.push_back(prefix->ToString());
  }
  return ranges;
}

bool IsServed(const ServiceObject& service) {
  return !service.is_of_another_proxy && service.type != "ExternalName" && !service.cluster_ips.empty() &&
         ParseAddress(service.cluster_ips.front()).has_value();
}

class Translator {
 public:
  Translator(const ServiceObject& service, std::span<const SliceObject* const> slices,
             const NodePolicy& policy)
      : service_(service), slices_(slices), policy_(policy), wishes_(ReadAnnotations(service)) {}

  Translation Do() {
    result_.complaints = std::move(wishes_.complaints);
    if (!IsServed(service_)) return std::move(result_);
    for (const bool is_v6 : {false, true}) {
      const std::vector<Address> cluster = AddressesOf(service_.cluster_ips, is_v6);
      if (cluster.empty()) continue;
      for (const ServicePort& port : service_.ports) {
        if (port.port != 0 && port.protocol != v1::PROTOCOL_UNSPECIFIED) DoPort(port, is_v6, cluster.front());
      }
      // A pod has an address of each family.
      result_.local_ready = std::max(result_.local_ready, static_cast<uint32_t>(local_ready_.size()));
      local_ready_.clear();
    }
    FindLeaving();
    if (service_.type == "LoadBalancer" && service_.is_external_local)
      result_.health_check_port = service_.health_check_port;
    return std::move(result_);
  }

 private:
  void FindLeaving() {
    for (const SliceObject* slice : slices_) {
      for (const EndpointObject& each : slice->endpoints) {
        if (!each.is_terminating || !slice->has_addresses) continue;
        const auto address = ParseAddress(each.address);
        if (!address) continue;
        for (const EndpointPort& port : slice->ports) result_.leaving.emplace_back(address->text, port.port);
      }
    }
  }

  void DoPort(const ServicePort& port, bool is_v6, const Address& cluster) {
    const std::vector<Frontend> frontends = FrontendsOf(port, is_v6, cluster);
    std::vector<Endpoint> endpoints = EndpointsOf(slices_, port, is_v6, policy_);
    std::erase_if(endpoints, [&](const Endpoint& each) {
      if (each.can_be_served) return false;
      Refuse(absl::StrCat("endpoint ", each.address), kNoHost);
      return true;
    });
    for (const Endpoint& each : endpoints) {
      if (each.is_local && each.object->is_ready) local_ready_.insert(each.address);
    }
    const EndpointChoice choice = Choose(endpoints, policy_);
    const bool has_external = std::any_of(frontends.begin(), frontends.end(),
                                          [](const Frontend& each) { return each.is_external(); });
    for (const Frontend& frontend : frontends) {
      const bool is_local = frontend.is_external() ? IsExternalLocal() : service_.is_internal_local;
      bool nobody_here = false;
      const std::vector<Endpoint>& chosen = Allowed(choice, is_local, has_external, nobody_here);
      (frontend.is_external() ? result_.lacks_external : result_.lacks_internal) |=
          nobody_here && choice.any_usable;
      result_.services.emplace_back(Make(frontend, port, chosen, is_local, nobody_here && choice.any_usable),
                                    frontend.kind, frontend.is_served);
    }
  }

  // Of a plain ClusterIP service without addresses of its own the external policy means nothing.
  bool IsExternalLocal() const {
    return service_.is_external_local && (service_.type != "ClusterIP" || !service_.external_ips.empty());
  }

  const std::vector<Endpoint>& Allowed(const EndpointChoice& choice, bool is_local, bool has_external,
                                       bool& nobody_here) const {
    // A gateway has no endpoints of its own.
    if (!is_local || policy_.node_name.empty()) return choice.anywhere;
    nobody_here = choice.here.empty();
    const bool falls_back = policy_.is_local_policy_compatible && has_external;
    return nobody_here && falls_back ? choice.anywhere : choice.here;
  }

  std::vector<Frontend> FrontendsOf(const ServicePort& port, bool is_v6, const Address& cluster) {
    std::vector<Frontend> frontends;
    // One that this host has is served by somebody here, as a cache of the cluster's DNS.
    const bool is_served = !policy_.local_addresses.contains(cluster.text);
    if (!IsExcluded(cluster) && CanBeServed("cluster address", cluster))
      frontends.push_back({cluster.text, port.port, ClaimKind::kClusterAddress, false, is_served});
    if (policy_.has_external_ips) {
      for (const Address& each : AddressesOf(service_.external_ips, is_v6)) {
        if (MayBeExternal(each)) Add({each.text, port.port, ClaimKind::kExternal}, each, frontends);
      }
    }
    for (const Address& each : AddressesOf(service_.load_balancer_ips, is_v6)) {
      if (CanBeServed("load balancer address", each))
        Add({each.text, port.port, ClaimKind::kLoadBalancer, true}, each, frontends);
    }
    if (port.node_port == 0) return frontends;
    for (const Address& each : policy_.node_port_addresses) {
      if (each.is_v6 == is_v6) Add({each.text, port.node_port, ClaimKind::kNodePort}, each, frontends);
    }
    return frontends;
  }

  // Anybody who may write a Service chooses these: they must not take what the cluster or the node has.
  bool MayBeExternal(const Address& address) {
    if (!CanBeServed("external address", address)) return false;
    const char* why = nullptr;
    if (std::any_of(policy_.service_ranges.begin(), policy_.service_ranges.end(),
                    [&](const Prefix& range) { return range.Contains(address); }))
      why = "is one of the cluster's own service addresses";
    if (std::find(policy_.node_addresses.begin(), policy_.node_addresses.end(), address) !=
        policy_.node_addresses.end())
      why = "is the node's own address; node ports are served there (type NodePort)";
    if (why != nullptr) Refuse(absl::StrCat("external address ", address.text), why);
    return why == nullptr;
  }

  bool CanBeServed(const char* kind, const Address& address) {
    if (!address.can_be_served) Refuse(absl::StrCat(kind, " ", address.text), kNoHost);
    return address.can_be_served;
  }

  void Add(const Frontend& frontend, const Address& address, std::vector<Frontend>& frontends) const {
    if (IsExcluded(address)) return;
    // An external address may be the load balancer's, too: its source ranges count.
    for (Frontend& other : frontends) {
      if (other.address != frontend.address || other.port != frontend.port) continue;
      other.has_source_ranges |= frontend.has_source_ranges;
      other.kind = std::min(other.kind, frontend.kind);
      return;
    }
    frontends.push_back(frontend);
  }

  bool IsExcluded(const Address& address) const {
    return std::any_of(policy_.excluded.begin(), policy_.excluded.end(),
                       [&](const Prefix& prefix) { return prefix.Contains(address); });
  }

  v1::Service Make(const Frontend& frontend, const ServicePort& port, const std::vector<Endpoint>& endpoints,
                   bool is_local, bool nobody_here) {
    v1::Service made;
    made.mutable_key()->set_protocol(port.protocol);
    made.mutable_key()->set_address(frontend.address);
    made.mutable_key()->set_port(frontend.port);
    made.set_owner(v1::KUBERNETES);
    made.set_scheduler(wishes_.scheduler.empty() ? policy_.scheduler : wishes_.scheduler);
    for (const v1::SchedulerFlag flag :
         wishes_.scheduler_flags.empty() ? DefaultFlags(made.scheduler()) : wishes_.scheduler_flags)
      made.add_scheduler_flags(flag);
    if (service_.affinity_seconds != 0)
      made.mutable_persistence()->set_timeout_seconds(service_.affinity_seconds);
    made.set_one_packet(wishes_.one_packet && port.protocol == v1::UDP);
    if (wishes_.timeouts.ByteSizeLong() != 0) *made.mutable_timeouts() = wishes_.timeouts;
    made.set_drain_seconds(wishes_.drain_seconds);
    made.set_no_destination(nobody_here ? v1::SILENCE
                                        : wishes_.no_destination.value_or(v1::ICMP_UNREACHABLE));
    const bool is_v6 = frontend.address.find(':') != std::string::npos;
    if (frontend.has_source_ranges) AddSourceRanges(frontend, is_v6, made);
    made.mutable_kubernetes()->set_namespace_(service_.name.name_space);
    made.mutable_kubernetes()->set_service(service_.name.name);
    made.mutable_kubernetes()->set_port(port.name);
    const v1::ForwardingMethod method = MethodOf(frontend, is_local);
    if (method == v1::FULLNAT && !frontend.is_external() && !policy_.masquerade_all) {
      for (const Prefix& each : policy_.local_clients) {
        if (each.is_v6 == is_v6) made.add_unmasqueraded_sources(each.ToString());
      }
    }
    if (made.one_packet() && method == v1::FULLNAT) {
      made.set_one_packet(false);
      Complain(
          absl::StrCat(Annotation("one-packet"),
                       ": true: masquerading needs connections, to know whose an answer is; it is ignored "
                       "for ",
                       frontend.address));
    }
    for (const Endpoint& each : endpoints) AddDestination(each, frontend, method, made);
    if (made.scheduler() == "mh" && made.destinations_size() > kMostOfMaglev) {
      made.set_scheduler("rr");
      made.clear_scheduler_flags();
      Complain(absl::StrCat(Annotation("scheduler"), ": mh: can have ", kMostOfMaglev,
                            " endpoints, and port ", port.port, " has ", made.destinations_size(),
                            "; rr is used"));
    }
    return made;
  }

  // A node within them may ask its own load balancer, and then has its address as source.
  void AddSourceRanges(const Frontend& frontend, bool is_v6, v1::Service& to) const {
    const std::vector<std::string> ranges = SourceRangesOf(service_, is_v6);
    for (const std::string& range : ranges) to.add_allow_sources(range);
    const bool is_node_within = std::any_of(ranges.begin(), ranges.end(), [&](const std::string& range) {
      const std::optional<Prefix> prefix = ParsePrefix(range);
      return std::any_of(policy_.node_addresses.begin(), policy_.node_addresses.end(),
                         [&](const Address& each) { return prefix->Contains(each); });
    });
    if (is_node_within) to.add_allow_sources(absl::StrCat(frontend.address, is_v6 ? "/128" : "/32"));
  }

  // Whether the client's address must not be the one that an endpoint answers to.
  v1::ForwardingMethod MethodOf(const Frontend& frontend, bool is_local) const {
    if (wishes_.method) return *wishes_.method;
    const bool masquerades =
        frontend.is_external() ? !is_local : policy_.masquerade_all || policy_.knows_local_clients;
    return masquerades && policy_.can_masquerade ? v1::FULLNAT : v1::NAT;
  }

  void AddDestination(const Endpoint& endpoint, const Frontend& frontend, v1::ForwardingMethod method,
                      v1::Service& to) {
    if (endpoint.address == frontend.address && endpoint.port == frontend.port) {
      Refuse(absl::StrCat("endpoint ", endpoint.address, " port ", endpoint.port),
             "is the service itself; packets would go round");
      return;
    }
    const bool keeps_port = method == v1::DR || method == v1::TUN;
    if (keeps_port && endpoint.port != frontend.port) {
      Complain(absl::StrCat(Annotation("forwarding"), ": dr, ipip and gre leave the port as it is, and port ",
                            frontend.port, " is served on ", endpoint.port, "; nat is used"));
      method = v1::NAT;
    }
    v1::Destination& destination = *to.add_destinations();
    destination.set_address(endpoint.address);
    destination.set_port(endpoint.port);
    destination.set_method(method);
    destination.set_weight(1);
    destination.set_on_this_host(endpoint.is_local);
    if (method == v1::TUN) *destination.mutable_tunnel() = wishes_.tunnel;
    destination.set_endpoint(endpoint.object->pod);
  }

  static std::string Annotation(const char* name) { return std::string(kAnnotationPrefix) + name; }

  void Complain(const std::string& complaint) { AddOnce(complaint, result_.complaints); }
  void Refuse(const std::string& what, const char* why) {
    AddOnce(absl::StrCat(what, ": ", why, "; it is not served"), result_.unserved);
  }
  // A Service may have thousands of addresses: the first complaints are enough for people.
  static void AddOnce(const std::string& complaint, std::vector<std::string>& complaints) {
    constexpr size_t kMost = 20;
    if (complaints.size() < kMost &&
        std::find(complaints.begin(), complaints.end(), complaint) == complaints.end())
      complaints.push_back(complaint);
  }

  const ServiceObject& service_;
  const std::span<const SliceObject* const> slices_;
  const NodePolicy& policy_;
  Wishes wishes_;
  Translation result_;
  std::set<std::string> local_ready_;
};

}  // namespace

Translation Translate(const ServiceObject& service, std::span<const SliceObject* const> slices,
                      const NodePolicy& policy) {
  return Translator(service, slices, policy).Do();
}

}  // namespace sluice::kubernetes
