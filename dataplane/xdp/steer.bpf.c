// Decides, for every packet an interface receives, whether it is Sluice's: then it goes to the worker's
// AF_XDP socket. All else, and everything while a worker does not answer, is the kernel's.
// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include <linux/if_ether.h>

#include "dataplane/xdp/steer_v4.bpf.h"
#include "dataplane/xdp/steer_v6.bpf.h"

struct vlan_tag {
  __u16 id;
  __u16 ether_type;
};

static __always_inline int addressed_to_us(const struct ethhdr* ethernet) {
  for (int i = 0; i < ETH_ALEN; ++i) {
    if (ethernet->h_dest[i] != settings.own_mac[i]) return 0;
  }
  return 1;
}

static __always_inline int is_ours(const struct ethhdr* ethernet, const void* end) {
  if ((const void*)(ethernet + 1) > end || !addressed_to_us(ethernet)) return 0;
  const void* ip = ethernet + 1;
  __u16 type = ethernet->h_proto;
  if (type == bpf_htons(ETH_P_8021Q)) {
    const struct vlan_tag* tag = ip;
    if ((const void*)(tag + 1) > end) return 0;
    type = tag->ether_type;
    ip = tag + 1;
  }
  if (type == bpf_htons(ETH_P_IP)) return is_ours_v4(ip, end);
  return type == bpf_htons(ETH_P_IPV6) && is_ours_v6(ip, end);
}

SEC("xdp") int sluice_steer(struct xdp_md* context) {
  if (!is_ours((void*)(long)context->data, (void*)(long)context->data_end)) return XDP_PASS;
  const __u32 queue = context->rx_queue_index;
  const __u32 worker = queue % settings.workers;
  const struct sluice_heartbeat* heartbeat = bpf_map_lookup_elem(&heartbeats, &worker);
  if (!heartbeat) return XDP_PASS;
  // The coarse clock may be some milliseconds behind the heartbeat: the difference is signed.
  const __s64 age = (__s64)(bpf_ktime_get_coarse_ns() - heartbeat->time_ns);
  if (age > (__s64)settings.heartbeat_limit_ns) {
    count(SLUICE_COUNT_STALE);
    return XDP_PASS;
  }
  const long action = bpf_redirect_map(&xsks_map, queue, XDP_PASS);
  count(action == XDP_REDIRECT ? SLUICE_COUNT_STEERED : SLUICE_COUNT_NO_SOCKET);
  return action;
}

char program_license[] SEC("license") = "Dual BSD/GPL";
