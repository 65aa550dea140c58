// What a machine needs to run sluiced well, looked at one by one: what is wrong is said in plain words, with
// the command that mends it.
// Threads: pure functions over what the machine says of itself.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace sluice {

// The machine, by its files; tests have one of their own.
class Machine {
 public:
  explicit Machine(std::string root = "") : root_(std::move(root)) {}

  // Without the end of line; nothing if it cannot be read.
  std::optional<std::string> Read(const std::string& path) const;
  std::optional<long> ReadNumber(const std::string& path) const;
  bool Has(const std::string& path) const;
  std::vector<std::string> List(const std::string& folder) const;
  // Where a symbolic link points to, its last part only; nothing: there is none.
  std::optional<std::string> LinkName(const std::string& path) const;

 private:
  const std::string root_;
};

// What no file says about an interface.
struct InterfaceProbe {
  std::string driver;       // as it calls itself
  std::string xdp_program;  // attached to it; empty: none
  uint32_t xdp_program_id = 0;
  bool can_spread = false;    // its queues have an indirection table: RSS
  bool strips_vlans = false;  // takes VLAN tags out of frames before an XDP program sees them
};

struct DoctorOptions {
  int workers = 1;
  std::vector<std::string> interfaces;
  std::vector<std::string> pci_devices;  // "0000:03:00.0", to be used without the kernel
  std::function<InterfaceProbe(const std::string&)> probe;
  // Why no packets come to ports of the sluiced that runs, as it says itself.
  std::vector<std::string> troubles;
};

enum class Health { kGood, kCouldBeBetter, kBad };

struct Finding {
  Health health;
  std::string what;
  std::string mend;  // a command, or what to do; empty if nothing need be done
};

std::vector<Finding> Examine(const Machine& machine, const DoctorOptions& options);

}  // namespace sluice
