// What decides besides the objects how Services are served here: which node this is, and how it is told to do it.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "control/kubernetes/addresses.h"

namespace sluice::kubernetes {

struct NodePolicy {
  std::string node_name;  // empty: a gateway, which is no node of the cluster
  std::string zone;
  std::vector<Address> node_port_addresses;  // that node ports are served on
  std::vector<Address> node_addresses;       // the node's own
  std::set<std::string>
      local_addresses;                 // of this host's interfaces: cluster addresses among them are others'
  std::vector<Prefix> service_ranges;  // of the cluster addresses: no external address may be among them
  std::vector<Prefix> excluded;        // whose services are somebody else's
  std::string scheduler = "rr";
  bool masquerade_all = false;
  // Pods are told from others, and others are masqueraded.
  bool knows_local_clients = false;
  std::vector<Prefix> local_clients;        // the pods
  bool can_masquerade = true;               // full NAT has local addresses
  bool is_local_policy_compatible = false;  // as kube-proxy's ipvs mode: without a local endpoint, all
  bool has_external_ips = true;

  friend bool operator==(const NodePolicy&, const NodePolicy&) = default;
};

}  // namespace sluice::kubernetes
