// How many connections each network of clients and each service has in a worker's table. Networks are /24 in
// IPv4 and /64 in IPv6, services are told apart by their number; both by a hash into few counters, so that
// one in thousands is counted together with another.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/conn/connection.h"
#include "dataplane/net/flow_hash.h"

namespace sluice {

class ConnectionShares {
 public:
  explicit ConnectionShares(const HashSecret& secret)
      : secret_(secret.words[2]), of_network_(kNetworks), of_service_(kServices) {}

  // `addresses` are looked at in IPv6 only; `service` is any number of the connection's service.
  void Add(const Connection& connection, const ConnectionAddresses& addresses, uint32_t service) {
    ++of_network_[NetworkOf(connection, addresses)];
    ++of_service_[service % kServices];
  }
  void Remove(const Connection& connection, const ConnectionAddresses& addresses, uint32_t service) {
    --of_network_[NetworkOf(connection, addresses)];
    --of_service_[service % kServices];
  }
  uint32_t OfNetwork(const Connection& connection, const ConnectionAddresses& addresses) const {
    return of_network_[NetworkOf(connection, addresses)];
  }
  uint32_t OfService(uint32_t service) const { return of_service_[service % kServices]; }

 private:
  static constexpr int kNetworkBits = 12;
  static constexpr size_t kNetworks = 1 << kNetworkBits;
  static constexpr size_t kServices = 1024;

  size_t NetworkOf(const Connection& connection, const ConnectionAddresses& addresses) const {
    const uint64_t network =
        connection.IsV6() ? addresses.client.Word(0) : connection.client.raw & 0x00ffffff;
    return FoldedMultiply(network ^ secret_, 0x9e3779b97f4a7c15u) >> (64 - kNetworkBits);
  }

  const uint64_t secret_;
  std::vector<uint32_t> of_network_;
  std::vector<uint32_t> of_service_;
};

}  // namespace sluice
