/* The program's maps and settings, and what it asks them.
 * SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef SLUICE_STEER_MAPS_BPF_H_
#define SLUICE_STEER_MAPS_BPF_H_

#include <linux/bpf.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "dataplane/xdp/steer_abi.h"

volatile const struct sluice_steer_settings settings;
volatile struct sluice_interface own SEC(".data.own") = {};

#define SLUICE_MAP(name, kind, entries, map_flags_, key_type, value_type) \
  struct {                                                                \
    __uint(type, kind);                                                   \
    __uint(max_entries, entries);                                         \
    __uint(map_flags, map_flags_);                                        \
    __type(key, key_type);                                                \
    __type(value, value_type);                                            \
  } name SEC(".maps")

SLUICE_MAP(xsks_map, BPF_MAP_TYPE_XSKMAP, SLUICE_MAX_QUEUES, 0, __u32, __u32);
SLUICE_MAP(endpoints, BPF_MAP_TYPE_HASH, SLUICE_MAX_ENDPOINTS, BPF_F_NO_PREALLOC, struct sluice_endpoint_key,
           __u32);
SLUICE_MAP(endpoints_v6, BPF_MAP_TYPE_HASH, SLUICE_MAX_ENDPOINTS, BPF_F_NO_PREALLOC,
           struct sluice_endpoint_key_v6, __u32);
SLUICE_MAP(prefixes, BPF_MAP_TYPE_LPM_TRIE, SLUICE_MAX_PREFIXES, BPF_F_NO_PREALLOC, struct sluice_prefix_key,
           __u8);
SLUICE_MAP(prefixes_v6, BPF_MAP_TYPE_LPM_TRIE, SLUICE_MAX_PREFIXES, BPF_F_NO_PREALLOC,
           struct sluice_prefix_key_v6, __u8);
SLUICE_MAP(host_addresses, BPF_MAP_TYPE_HASH, SLUICE_MAX_HOST_ADDRESSES, BPF_F_NO_PREALLOC, __u32, __u8);
SLUICE_MAP(host_addresses_v6, BPF_MAP_TYPE_HASH, SLUICE_MAX_HOST_ADDRESSES, BPF_F_NO_PREALLOC,
           struct sluice_address_v6, __u8);
SLUICE_MAP(hints, BPF_MAP_TYPE_ARRAY, 1, BPF_F_MMAPABLE, __u32, struct sluice_hints);
SLUICE_MAP(heartbeats, BPF_MAP_TYPE_ARRAY, SLUICE_MAX_WORKERS, BPF_F_MMAPABLE, __u32,
           struct sluice_heartbeat);
SLUICE_MAP(stall, BPF_MAP_TYPE_ARRAY, 1, BPF_F_MMAPABLE, __u32, struct sluice_stall);
SLUICE_MAP(counts, BPF_MAP_TYPE_PERCPU_ARRAY, SLUICE_COUNT_MAX, 0, __u32, __u64);

SLUICE_MAP(openings, BPF_MAP_TYPE_ARRAY, SLUICE_MAX_QUEUES, 0, __u32, struct sluice_openings);

static __always_inline void count(__u32 what) {
  __u64* value = bpf_map_lookup_elem(&counts, &what);
  if (value) ++*value;
}

static __always_inline __u32 wider_bits(void) {
  const __u32 first = 0;
  const struct sluice_hints* known = bpf_map_lookup_elem(&hints, &first);
  return known ? known->wider : 0;
}

static __always_inline int may_have_role(__u32 slot, __u32 role) {
  const __u32 first = 0;
  const struct sluice_hints* known = bpf_map_lookup_elem(&hints, &first);
  return known && (known->roles[slot % SLUICE_ADDRESS_SLOTS] & role);
}

/* A packet's ports, or those of the packet that an ICMP error quotes. */
struct port_pair {
  __u16 source;
  __u16 destination;
};

/* What Sluice may have put a packet into, on its way to a real server: an error about that is for Sluice. */
static __always_inline int is_tunnel(__u8 protocol) {
  return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 || protocol == IPPROTO_GRE ||
         protocol == IPPROTO_UDP;
}

#endif /* SLUICE_STEER_MAPS_BPF_H_ */
