// What DPDK's AF_XDP driver attaches while it sets up its queues: everything stays the kernel's. Our own
// program takes its place as soon as the workers run.
// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "dataplane/xdp/steer_abi.h"

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, SLUICE_MAX_QUEUES);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

SEC("xdp") int sluice_stub(struct xdp_md* context) { return XDP_PASS; }

char program_license[] SEC("license") = "Dual BSD/GPL";
