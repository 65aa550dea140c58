// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/pipeline_fuzz/flow.h"

namespace sluice::fuzz {
namespace {

Flow FlowOf(const Worker& worker, const Connection& connection) {
  Flow flow;
  const auto protocol = static_cast<uint8_t>(connection.protocol);
  Address client = Address::FromV4(&connection.client);
  Address virtual_address = Address::FromV4(&connection.virtual_address);
  Address local = Address::FromV4(&connection.local);
  if (connection.IsV6()) {
    const ConnectionAddresses& addresses = worker.connections.AddressesOf(connection);
    client = Address::FromV6(&addresses.client);
    virtual_address = Address::FromV6(&addresses.virtual_address);
    local = Address::FromV6(&addresses.local);
  }
  // Tunnels may lead into the other family.
  const Address server = Address::Of(worker.destinations.address(connection.destination_id));
  flow.from_client = {protocol, client, connection.client_port.ToHost(), virtual_address,
                      connection.virtual_port.ToHost()};
  flow.to_server = {protocol, local, connection.local_port.ToHost(), server,
                    connection.destination_port.ToHost()};
  flow.method = connection.method();
  flow.is_full_nat = connection.Has(kConnectionFullNat);
  flow.is_inactive = connection.IsInactive();
  flow.has_template = connection.template_id != kNoTemplate;
  flow.flags = connection.flags;
  flow.destination = connection.destination_id;
  return flow;
}

}  // namespace

std::vector<Flow> FlowsOf(const Worker& worker) {
  std::vector<Flow> flows;
  for (uint32_t i = 1; i < worker.connections.IndexEnd(); ++i) {
    if (worker.connections.IsInUse(i)) flows.push_back(FlowOf(worker, worker.connections.ByIndex(i)));
  }
  return flows;
}

}  // namespace sluice::fuzz
