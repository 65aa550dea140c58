// A dummy interface of our own, and the addresses on it.
// Threads: one at a time.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "control/kernel/netlink_socket.h"
#include "dataplane/net/ip_address.h"

namespace sluice {

class DummyInterface {
 public:
  // It need not be there.
  static absl::StatusOr<std::unique_ptr<DummyInterface>> Open(const std::string& name);

  // The interface is there and up and has these addresses and no others, but for those that the host has
  // elsewhere. Whether anything had to be changed. Without any address, it is not there.
  absl::StatusOr<bool> SetAddresses(const std::set<IpAddress>& addresses);
  // Addresses given to SetAddresses that no other interface of the host has.
  const std::set<IpAddress>& addresses() const { return addresses_; }

 private:
  explicit DummyInterface(std::string name) : name_(std::move(name)) {}
  absl::Status Create();
  absl::Status Delete();

  const std::string name_;
  std::unique_ptr<NetlinkSocket> socket_;
  std::set<IpAddress> addresses_;
};

}  // namespace sluice
