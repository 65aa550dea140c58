// SPDX-License-Identifier: Apache-2.0
#include "control/translate.h"

#include "absl/strings/str_cat.h"

namespace sluice {

Endpoint ToEndpoint(const std::string& address, uint32_t port, Protocol protocol) {
  return {IpAddress::Parse(address).value_or(IpAddress{}), Be16::FromHost(static_cast<uint16_t>(port)),
          protocol};
}

ServiceSpec ToSpec(const v1::Service& service) {
  ServiceSpec spec;
  spec.key = ToEndpoint(service.key().address(), service.key().port(),
                        static_cast<Protocol>(service.key().protocol()));
  spec.scheduler = service.scheduler();
  spec.one_packet = service.one_packet();
  for (const int flag : service.scheduler_flags()) {
    spec.flags.flag_1 |= flag == v1::FLAG_1;
    spec.flags.flag_2 |= flag == v1::FLAG_2;
    spec.flags.flag_3 |= flag == v1::FLAG_3;
  }
  for (const v1::Destination& destination : service.destinations()) {
    const Endpoint endpoint = ToEndpoint(destination.address(), destination.port(), spec.key.protocol);
    spec.destinations.push_back({.address = endpoint.address,
                                 .port = endpoint.port,
                                 .weight = static_cast<int32_t>(destination.weight()),
                                 .upper_threshold = destination.upper_threshold(),
                                 .lower_threshold = destination.lower_threshold()});
  }
  return spec;
}

TimeoutSpec ToSpec(const v1::Timeouts& timeouts) {
  return {.tcp_seconds = timeouts.tcp_seconds(),
          .tcp_fin_seconds = timeouts.tcp_fin_seconds(),
          .udp_seconds = timeouts.udp_seconds()};
}

v1::ServiceKey ToMessage(const ServiceKey& key) {
  v1::ServiceKey message;
  message.set_protocol(static_cast<v1::Protocol>(key.protocol));
  message.set_address(key.address.ToString());
  message.set_port(key.port.ToHost());
  return message;
}

v1::Timeouts ToMessage(const TimeoutSpec& timeouts) {
  v1::Timeouts message;
  message.set_tcp_seconds(timeouts.tcp_seconds);
  message.set_tcp_fin_seconds(timeouts.tcp_fin_seconds);
  message.set_udp_seconds(timeouts.udp_seconds);
  return message;
}

v1::Statistics ToMessage(const DestinationStatistics& statistics) {
  v1::Statistics message;
  message.set_connections(statistics.connections);
  message.set_in_packets(statistics.in_packets);
  message.set_out_packets(statistics.out_packets);
  message.set_in_bytes(statistics.in_bytes);
  message.set_out_bytes(statistics.out_bytes);
  return message;
}

v1::Connection ToMessage(const ConnectionStatus& connection) {
  v1::Connection message;
  message.set_protocol(static_cast<v1::Protocol>(connection.client.protocol));
  message.set_client_address(connection.client.address.ToString());
  message.set_client_port(connection.client.port.ToHost());
  message.set_virtual_address(connection.virtual_endpoint.address.ToString());
  message.set_virtual_port(connection.virtual_endpoint.port.ToHost());
  message.set_destination_address(connection.destination.address.ToString());
  message.set_destination_port(connection.destination.port.ToHost());
  message.set_state(std::string(connection.state));
  message.set_expires_seconds(connection.expires_seconds);
  message.set_active(connection.active);
  message.set_worker(static_cast<uint32_t>(connection.worker));
  return message;
}

std::string NameOf(const ServiceKey& key) {
  return absl::StrCat(key.protocol == Protocol::kUdp ? "UDP " : "TCP ", key.ToString());
}

}  // namespace sluice
