// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/connection_status.h"

#include "dataplane/conn/protocol_state.h"

namespace sluice {
namespace {

// Until a deadline, in whole seconds; 0 if it has passed.
uint32_t SecondsUntil(Jiffies deadline, Jiffies now) {
  return HasPassed(deadline, now) ? 0 : (deadline - now) / kJiffiesPerSecond;
}

}  // namespace

ConnectionStatus StatusOf(const Connection& connection, const EndAddresses& addresses, Jiffies now,
                          int worker) {
  constexpr uint32_t kOurOwn = kConnectionIpv6 | kConnectionFullNat | kConnectionAnnounced | kConnectionLent |
                               kConnectionClosed | kConnectionUnanswered | kConnectionRepeated |
                               kConnectionAnswered;
  return {
      .client = {addresses.client, connection.client_port, connection.protocol},
      .virtual_endpoint = {addresses.virtual_address, connection.virtual_port, connection.protocol},
      .destination = {addresses.destination, connection.destination_port, connection.protocol},
      .local = {addresses.local, connection.local_port, connection.protocol},
      .state = StateName(connection.protocol, connection.state),
      .state_number = connection.state,
      .expires_seconds = SecondsUntil(connection.deadline, now),
      .active = !connection.IsInactive(),
      .worker = worker,
      .flags = connection.flags & ~kOurOwn,
      .destination_id = connection.destination_id,
  };
}

ConnectionStatus StatusOf(const Template& each, Jiffies now) {
  constexpr Be16 kRetiredPort = Be16::FromHost(65535);
  const Protocol protocol = each.key.protocol;
  const Be16 virtual_port = each.retired ? kRetiredPort : each.key.virtual_port;
  const Be16 own_port = each.key.virtual_port == Be16{} ? Be16{} : each.destination_port;
  return {
      .client = {each.key.client, Be16{}, protocol},
      .virtual_endpoint = {each.key.virtual_address, virtual_port, protocol},
      .destination = {each.destination, each.retired ? kRetiredPort : own_port, protocol},
      .local = {},
      .state = each.assured ? "ASSURED" : "NONE",
      .state_number = each.assured,
      .expires_seconds = SecondsUntil(each.deadline, now),
      .flags = kConnectionTemplate,
      .destination_id = each.destination_id,
      .is_template = true,
  };
}

}  // namespace sluice
