// When has every worker stopped using a value that was replaced? Four verbs over DPDK's quiescent-state
// based reclamation.
// Threads: Online, Offline and Quiescent by the worker of that index; Wait by any other thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

struct rte_rcu_qsbr;

namespace sluice {

class GracePeriod {
 public:
  explicit GracePeriod(int workers);
  ~GracePeriod();

  void Online(int worker);     // from now on it may use published values
  void Quiescent(int worker);  // between two rounds: it holds none
  void Offline(int worker);    // it sleeps or ends: nobody waits for it
  // Returns when every online worker has been quiescent since the call.
  void Wait();

 private:
  rte_rcu_qsbr* state_;
};

}  // namespace sluice
