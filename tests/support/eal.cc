// SPDX-License-Identifier: Apache-2.0
#include "tests/support/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <string>
#include <vector>

#include "dataplane/net/check.h"

namespace sluice {

void StartEalForTest(int megabytes) {
  static const bool started = [megabytes] {
    std::vector<std::string> arguments = {"test",         "--no-huge",         "--no-shconf", "--no-pci", "--no-telemetry",
                                          "--log-level=3", "--iova-mode=va",   "-m",          std::to_string(megabytes), "--lcores=0"};
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    return rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0;
  }();
  SLUICE_CHECK(started);
}

rte_mempool* PacketPoolForTest(unsigned packets) {
  StartEalForTest();
  static rte_mempool* pool = rte_pktmbuf_pool_create("test", packets, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  SLUICE_CHECK(pool != nullptr);
  return pool;
}

}  // namespace sluice
