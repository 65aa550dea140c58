// Decides, for every packet an interface receives, whether it is Sluice's: then it goes to the worker's
// AF_XDP socket. All else, and everything while a worker does not answer, is the kernel's.
// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dataplane/xdp/steer_abi.h"

/* <linux/icmp.h> needs more of the C library than there is for this machine. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __u32 rest;
};
#define ICMP_UNREACHABLE 3
#define ICMP_QUENCH 4
#define ICMP_EXCEEDED 11

volatile const struct sluice_steer_settings settings;

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, SLUICE_MAX_QUEUES);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, SLUICE_MAX_ENDPOINTS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct sluice_endpoint_key);
  __type(value, __u32);
} endpoints SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, SLUICE_MAX_PREFIXES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct sluice_prefix_key);
  __type(value, __u8);
} prefixes SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} wider SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, SLUICE_MAX_HOST_ADDRESSES);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, __u8);
} host_addresses SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, SLUICE_MAX_WORKERS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct sluice_heartbeat);
} heartbeats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, SLUICE_COUNT_MAX);
  __type(key, __u32);
  __type(value, __u64);
} counts SEC(".maps");

static __always_inline void count(__u32 what) {
  __u64* value = bpf_map_lookup_elem(&counts, &what);
  if (value) ++*value;
}

static __always_inline int addressed_to_us(const struct ethhdr* ethernet) {
  for (int i = 0; i < ETH_ALEN; ++i) {
    if (ethernet->h_dest[i] != settings.own_mac[i]) return 0;
  }
  return 1;
}

static __always_inline int has_role(__u32 address, __u16 port, __u8 protocol, __u32 role) {
  const struct sluice_endpoint_key key = {.address = address, .port = port, .protocol = protocol};
  const __u32* roles = bpf_map_lookup_elem(&endpoints, &key);
  return roles && (*roles & role);
}

static __always_inline int is_in_prefix(__u32 address) {
  const struct sluice_prefix_key key = {.length = 32, .address = address};
  return bpf_map_lookup_elem(&prefixes, &key) != 0;
}

static __always_inline __u32 wider_bits(void) {
  const __u32 first = 0;
  const __u32* bits = bpf_map_lookup_elem(&wider, &first);
  return bits ? *bits : 0;
}

/* By itself, or as one of every port of its address. */
static __always_inline int is_endpoint(__u32 address, __u16 port, __u8 protocol, __u32 role, __u32 wider_bit) {
  if (has_role(address, port, protocol, role)) return 1;
  return (wider_bits() & wider_bit) && has_role(address, 0, protocol, role);
}

static __always_inline int is_ours(const struct iphdr* ip, const __u16* ports) {
  if (is_endpoint(ip->daddr, ports[1], ip->protocol, SLUICE_ROLE_VIRTUAL, SLUICE_WIDER_VIRTUAL)) return 1;
  if ((wider_bits() & SLUICE_WIDER_PREFIX) && is_in_prefix(ip->daddr)) return 1;
  if (!is_endpoint(ip->saddr, ports[0], ip->protocol, SLUICE_ROLE_REAL_SERVER, SLUICE_WIDER_REAL_SERVER)) return 0;
  // What a real server answers to this host is the host's own affair: health checks, ssh.
  const __u32 destination = ip->daddr;
  return !bpf_map_lookup_elem(&host_addresses, &destination);
}

/* An ICMP error is for whom the packet is that it quotes, turned round: one of a service to a client, or one of a
 * client to a real server. */
static __always_inline int is_error_for_us(const struct icmp_header* icmp, const void* end) {
  const struct iphdr* about = (const void*)(icmp + 1);
  if ((const void*)(about + 1) > end) return 0;
  if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_QUENCH && icmp->type != ICMP_EXCEEDED)
    return 0;
  if (about->version != 4 || about->ihl < 5 || (about->frag_off & bpf_htons(0x1fff))) return 0;
  const __u16* ports = (const void*)about + about->ihl * 4;
  if ((const void*)(ports + 2) > end) return 0;
  if (is_endpoint(about->saddr, ports[0], about->protocol, SLUICE_ROLE_VIRTUAL, SLUICE_WIDER_VIRTUAL)) return 1;
  const __u32 look_for = wider_bits();
  if ((look_for & SLUICE_WIDER_PREFIX) && is_in_prefix(about->saddr)) return 1;
  if (!is_endpoint(about->daddr, ports[1], about->protocol, SLUICE_ROLE_REAL_SERVER, SLUICE_WIDER_REAL_SERVER))
    return 0;
  const __u32 source = about->saddr;
  return !bpf_map_lookup_elem(&host_addresses, &source);
}

/* Only the first fragment of a datagram has ports, so its address decides about all of it. */
static __always_inline int is_fragment_for_us(const struct iphdr* ip) {
  if (has_role(ip->daddr, 0, 0, SLUICE_ROLE_VIRTUAL)) return 1;
  if ((wider_bits() & SLUICE_WIDER_PREFIX) && is_in_prefix(ip->daddr)) return 1;
  if (!has_role(ip->saddr, 0, 0, SLUICE_ROLE_REAL_SERVER)) return 0;
  const __u32 destination = ip->daddr;
  return !bpf_map_lookup_elem(&host_addresses, &destination);
}

SEC("xdp") int sluice_steer(struct xdp_md* context) {
  const void* end = (void*)(long)context->data_end;
  const struct ethhdr* ethernet = (void*)(long)context->data;
  const struct iphdr* ip = (const void*)(ethernet + 1);
  if ((const void*)(ip + 1) > end) return XDP_PASS;
  if (ethernet->h_proto != bpf_htons(ETH_P_IP) || !addressed_to_us(ethernet)) return XDP_PASS;
  if (ip->version != 4 || ip->ihl < 5) return XDP_PASS;
  const void* transport = (const void*)ip + ip->ihl * 4;
  if (ip->frag_off & bpf_htons(0x3fff)) {
    if (!is_fragment_for_us(ip)) return XDP_PASS;
  } else if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_SCTP) {
    const __u16* ports = transport;
    if ((const void*)(ports + 2) > end || !is_ours(ip, ports)) return XDP_PASS;
  } else if (ip->protocol == IPPROTO_ICMP) {
    const struct icmp_header* icmp = transport;
    if ((const void*)(icmp + 1) > end || !is_error_for_us(icmp, end)) return XDP_PASS;
  } else {
    return XDP_PASS;
  }

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
