// Decides, for every packet an interface receives, whether it is Sluice's: then it goes to the worker's
// AF_XDP socket. All else is the kernel's. While a worker does not answer, its packets are the kernel's if
// the kernel can carry the services, and otherwise nobody's: TCP sends them again. SPDX-License-Identifier:
// BSD-2-Clause OR GPL-2.0-only
#include <linux/if_ether.h>

#include "dataplane/xdp/steer_v4.bpf.h"
#include "dataplane/xdp/steer_v6.bpf.h"

struct vlan_tag {
  __u16 id;
  __u16 ether_type;
};

static __always_inline int addressed_to_us(const struct ethhdr* ethernet) {
  const __u16* words = (const void*)ethernet->h_dest;
  return sluice_mac(words[0], words[1], words[2]) == own.mac;
}

// A priority tag (VLAN 0) is no VLAN.
static __always_inline int is_in_vlan(__u16 tag) {
  const __u16 vlan = bpf_ntohs(tag) % SLUICE_VLANS;
  return vlan == 0 || (own.vlans[vlan / 64] >> vlan % 64 & 1);
}

static __always_inline int is_ours(const struct ethhdr* ethernet, const void* end) {
  if ((const void*)(ethernet + 1) > end || !addressed_to_us(ethernet)) return 0;
  const void* ip = ethernet + 1;
  __u16 type = ethernet->h_proto;
  if (type == bpf_htons(ETH_P_8021Q)) {
    const struct vlan_tag* tag = ip;
    if ((const void*)(tag + 1) > end || !is_in_vlan(tag->id)) return 0;
    type = tag->ether_type;
    ip = tag + 1;
  }
  if (type == bpf_htons(ETH_P_IP)) return is_ours_v4(ip, end);
  return type == bpf_htons(ETH_P_IPV6) && is_ours_v6(ip, end);
}

// The worker was silent for too long. A socket shows that its process lives.
static __always_inline int without_worker(__u32 queue) {
  const __u32 first = 0;
  const struct sluice_stall* policy = bpf_map_lookup_elem(&stall, &first);
  if (!bpf_map_lookup_elem(&xsks_map, &queue)) {
    count(SLUICE_COUNT_NO_SOCKET);
    return XDP_PASS;
  }
  const int passes = !policy || policy->passes;
  count(passes ? SLUICE_COUNT_STALE : SLUICE_COUNT_STALE_DROPPED);
  return passes ? XDP_PASS : XDP_DROP;
}

SEC("xdp") int sluice_steer(struct xdp_md* context) {
  if (!is_ours((void*)(long)context->data, (void*)(long)context->data_end)) return XDP_PASS;
  const __u32 queue = context->rx_queue_index;
  const __u32 worker = queue % settings.workers;
  const struct sluice_heartbeat* heartbeat = bpf_map_lookup_elem(&heartbeats, &worker);
  if (!heartbeat) return XDP_PASS;
  const __u64 beat = heartbeat->time_ns;
  if (beat == 0) {
    count(SLUICE_COUNT_RELEASED);
    return XDP_PASS;
  }
  // The coarse clock may be some milliseconds behind the heartbeat: the difference is signed.
  const __s64 age = (__s64)(bpf_ktime_get_coarse_ns() - beat);
  if (age > (__s64)heartbeat->limit_ns) return without_worker(queue);
  const long action = bpf_redirect_map(&xsks_map, queue, XDP_PASS);
  count(action == XDP_REDIRECT ? SLUICE_COUNT_STEERED : SLUICE_COUNT_NO_SOCKET);
  return action;
}

char program_license[] SEC("license") = "Dual BSD/GPL";
