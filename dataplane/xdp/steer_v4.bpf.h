/* Whether an IPv4 packet is Sluice's.
 * SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef SLUICE_STEER_V4_BPF_H_
#define SLUICE_STEER_V4_BPF_H_

#include <linux/in.h>
#include <linux/ip.h>

#include "dataplane/xdp/steer_maps.bpf.h"

/* <linux/icmp.h> needs more of the C library than there is for this machine. */
struct icmp_header {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __u32 rest;
};
#define ICMP_UNREACHABLE 3
#define ICMP_QUENCH 4
#define ICMP_ECHO 8
#define ICMP_EXCEEDED 11

static __always_inline int has_role(__u32 address, __u16 port, __u8 protocol, __u32 role) {
  if (!may_have_role(sluice_slot(address), role)) return 0;
  const struct sluice_endpoint_key key = {.address = address, .port = port, .protocol = protocol};
  const __u32* roles = bpf_map_lookup_elem(&endpoints, &key);
  return roles && (*roles & role);
}

static __always_inline int is_in_prefix(__u32 address) {
  const struct sluice_prefix_key key = {.length = 32, .address = address};
  return bpf_map_lookup_elem(&prefixes, &key) != 0;
}

/* By itself, or as one of every port of its address. */
static __always_inline int is_endpoint(__u32 address, __u16 port, __u8 protocol, __u32 role,
                                       __u32 wider_bit) {
  if (has_role(address, port, protocol, role)) return 1;
  return (wider_bits() & wider_bit) && has_role(address, 0, protocol, role);
}

/* Of a packet as it comes, or of a quoted one turned round: to a service, or from a real server. What that
 * answers to this host is the host's own affair: health checks, ssh. */
static __always_inline int is_flow(__u32 source, __u32 destination, struct port_pair ports, __u8 protocol) {
  if (is_endpoint(destination, ports.destination, protocol, SLUICE_ROLE_VIRTUAL, SLUICE_WIDER_VIRTUAL))
    return 1;
  if ((wider_bits() & SLUICE_WIDER_PREFIX) && is_in_prefix(destination)) return 1;
  if (!is_endpoint(source, ports.source, protocol, SLUICE_ROLE_REAL_SERVER, SLUICE_WIDER_REAL_SERVER))
    return 0;
  return !bpf_map_lookup_elem(&host_addresses, &destination);
}

/* An ICMP error is for whom the packet is that it quotes, turned round: one of a service to a client, or one
 * of a client to a real server. */
static __always_inline int is_error(const struct icmp_header* icmp, const void* end) {
  const struct iphdr* about = (const void*)(icmp + 1);
  if ((const void*)(about + 1) > end) return 0;
  if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_QUENCH && icmp->type != ICMP_EXCEEDED) return 0;
  if (about->version != 4 || about->ihl < 5 || (about->frag_off & bpf_htons(0x1fff))) return 0;
  const struct port_pair* ports = (const void*)about + about->ihl * 4;
  if ((const void*)(ports + 1) > end) return 0;
  const struct port_pair turned = {ports->destination, ports->source};
  if (is_flow(about->daddr, about->saddr, turned, about->protocol)) return 1;
  return is_tunnel(about->protocol) && has_role(about->daddr, 0, 0, SLUICE_ROLE_REAL_SERVER);
}

/* Only the first fragment of a datagram has ports, so its addresses decide about all of it. */
static __always_inline int is_fragment(__u32 source, __u32 destination) {
  if (has_role(destination, 0, 0, SLUICE_ROLE_VIRTUAL)) return 1;
  if ((wider_bits() & SLUICE_WIDER_PREFIX) && is_in_prefix(destination)) return 1;
  if (!has_role(source, 0, 0, SLUICE_ROLE_REAL_SERVER)) return 0;
  return !bpf_map_lookup_elem(&host_addresses, &destination);
}

static __always_inline int is_ours_v4(const struct iphdr* ip, const void* end) {
  if ((const void*)(ip + 1) > end || ip->version != 4 || ip->ihl < 5) return 0;
  const void* transport = (const void*)ip + ip->ihl * 4;
  if (ip->frag_off & bpf_htons(0x3fff)) return is_fragment(ip->saddr, ip->daddr);
  if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP || ip->protocol == IPPROTO_SCTP) {
    const struct port_pair* ports = transport;
    return (const void*)(ports + 1) <= end && is_flow(ip->saddr, ip->daddr, *ports, ip->protocol);
  }
  if (ip->protocol != IPPROTO_ICMP) return 0;
  const struct icmp_header* icmp = transport;
  if ((const void*)(icmp + 1) > end) return 0;
  if (icmp->type == ICMP_ECHO) return has_role(ip->daddr, 0, 0, SLUICE_ROLE_VIRTUAL);
  return is_error(icmp, end);
}

#endif /* SLUICE_STEER_V4_BPF_H_ */
