// SPDX-License-Identifier: Apache-2.0
#include "tests/support/eal.h"

#include <rte_eal.h>

#include <string>
#include <vector>

#include "dataplane/net/check.h"
#include "dataplane/runtime/packet_pool.h"

namespace sluice {

void StartEalForTest(int megabytes) {
  static const bool started = [megabytes] {
    std::vector<std::string> arguments = {"test",
                                          "--no-huge",
                                          "--no-shconf",
                                          "--no-pci",
                                          "--no-telemetry",
                                          "--log-level=3",
                                          "--iova-mode=va",
                                          "-m",
                                          std::to_string(megabytes),
                                          "--lcores=0"};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    return rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0;
  }();
  SLUICE_CHECK(started);
}

rte_mempool* PacketPoolForTest(unsigned packets) {
  StartEalForTest();
  static const absl::StatusOr<rte_mempool*> pool = CreatePacketPool("test", packets);
  SLUICE_CHECK(pool.ok());
  return *pool;
}

}  // namespace sluice
