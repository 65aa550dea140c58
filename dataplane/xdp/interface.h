// An interface of the kernel, asked by its index over rtnetlink: what it is called now, its addresses, its
// link, and the XDP programs attached to it.
// Threads: any; a guard, one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/net/mac_address.h"

namespace sluice {

struct InterfaceState {
  int index = 0;
  std::string name;
  MacAddress mac;
  int mtu = 0;
  bool is_up = false;    // by the operator
  bool link_up = false;  // and with a carrier
  // Ids of XDP programs, by where they run; 0: none.
  uint32_t native_program = 0;
  uint32_t generic_program = 0;
  uint32_t hardware_program = 0;

  // Any of them.
  uint32_t program() const {
    return native_program != 0 ? native_program : generic_program != 0 ? generic_program : hardware_program;
  }
};

// kNotFound: there is none. Any other error: nothing is known.
absl::StatusOr<InterfaceState> ReadInterface(int index);
absl::StatusOr<InterfaceState> FindInterface(const std::string& name);

absl::Status SetInterfaceMac(int index, const MacAddress& mac);
absl::Status SetInterfaceUp(int index, bool is_up);

// Mends a fault of drivers that read the flags of an interface and write them back: an interface that
// somebody sets up or down in between is not afterwards. Lives while a driver may do so.
class FlagsGuard {
 public:
  explicit FlagsGuard(int index);
  ~FlagsGuard();
  FlagsGuard(const FlagsGuard&) = delete;
  FlagsGuard& operator=(const FlagsGuard&) = delete;

 private:
  const int index_;
  int events_ = -1;
  bool was_up_ = false;
};

// A socket that has something to read when some link has changed; it does not block. -1: there is none.
int OpenLinkEvents();

}  // namespace sluice
