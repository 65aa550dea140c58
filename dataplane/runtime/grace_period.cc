// SPDX-License-Identifier: Apache-2.0
#include "dataplane/runtime/grace_period.h"

#include <rte_rcu_qsbr.h>

#include <cstdlib>

#include "dataplane/net/check.h"

namespace sluice {

GracePeriod::GracePeriod(int workers) {
  const size_t size = rte_rcu_qsbr_get_memsize(static_cast<uint32_t>(workers));
  state_ = static_cast<rte_rcu_qsbr*>(std::aligned_alloc(64, (size + 63) / 64 * 64));
  SLUICE_CHECK(state_ != nullptr && rte_rcu_qsbr_init(state_, static_cast<uint32_t>(workers)) == 0);
  for (int worker = 0; worker < workers; ++worker) {
    SLUICE_CHECK(rte_rcu_qsbr_thread_register(state_, static_cast<uint32_t>(worker)) == 0);
  }
}

GracePeriod::~GracePeriod() { std::free(state_); }

void GracePeriod::Online(int worker) { rte_rcu_qsbr_thread_online(state_, static_cast<uint32_t>(worker)); }
void GracePeriod::Quiescent(int worker) { rte_rcu_qsbr_quiescent(state_, static_cast<uint32_t>(worker)); }
void GracePeriod::Offline(int worker) { rte_rcu_qsbr_thread_offline(state_, static_cast<uint32_t>(worker)); }
// In two steps that are inline, so that ThreadSanitizer sees what orders them.
void GracePeriod::Wait() { rte_rcu_qsbr_check(state_, rte_rcu_qsbr_start(state_), true); }

}  // namespace sluice
