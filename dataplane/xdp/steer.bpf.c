// Decides, for every packet an interface receives, whether it is Sluice's: then it goes to the worker's
// AF_XDP socket. All else is the kernel's. While a worker does not answer, its packets are the kernel's if
// the kernel can carry the services, and otherwise nobody's: TCP sends them again.
// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
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

/* A SYN without an ACK, right behind the IP header. Of other packets that may open connections nobody can tell. */
static __always_inline int opens_connection(const struct ethhdr* ethernet, const void* end) {
  const void* ip = ethernet + 1;
  if (ip > end) return 0;
  __u16 type = ethernet->h_proto;
  if (type == bpf_htons(ETH_P_8021Q)) {
    const struct vlan_tag* tag = ip;
    if ((const void*)(tag + 1) > end) return 0;
    type = tag->ether_type;
    ip = tag + 1;
  }
  const __u8* tcp = 0;
  if (type == bpf_htons(ETH_P_IP)) {
    const struct iphdr* v4 = ip;
    if ((const void*)(v4 + 1) > end || v4->protocol != IPPROTO_TCP) return 0;
    tcp = ip + v4->ihl * 4;
  } else {
    const struct ipv6hdr* v6 = ip;
    if ((const void*)(v6 + 1) > end || v6->nexthdr != IPPROTO_TCP) return 0;
    tcp = (const void*)(v6 + 1);
  }
  return (const void*)(tcp + 14) <= end && (tcp[13] & 0x12) == 0x02;
}

/* A queue is one processor's at a time, so that nobody else counts here. */
static __always_inline int has_too_many_openings(const struct sluice_heartbeat* heartbeat, __u64 beat, __u32 queue) {
  struct sluice_openings* seen = bpf_map_lookup_elem(&openings, &queue);
  if (!seen) return 0;
  if (seen->beat != beat) {
    seen->beat = beat;
    seen->count = 0;
  }
  const __u64 allowed = heartbeat->openings;
  return ++seen->count > (allowed < SLUICE_MOST_OPENINGS ? allowed : SLUICE_MOST_OPENINGS);
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
  const void* end = (void*)(long)context->data_end;
  if (opens_connection((void*)(long)context->data, end) && has_too_many_openings(heartbeat, beat, queue)) {
    count(SLUICE_COUNT_OPENINGS);
    return XDP_DROP;
  }
  const long action = bpf_redirect_map(&xsks_map, queue, XDP_PASS);
  count(action == XDP_REDIRECT ? SLUICE_COUNT_STEERED : SLUICE_COUNT_NO_SOCKET);
  return action;
}

char program_license[] SEC("license") = "Dual BSD/GPL";
