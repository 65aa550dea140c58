/* Whether an IPv6 packet is Sluice's: as with IPv4, behind extension headers.
 * SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
#ifndef SLUICE_STEER_V6_BPF_H_
#define SLUICE_STEER_V6_BPF_H_

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>

#include "dataplane/xdp/steer_maps.bpf.h"

#define ICMPV6_LAST_ERROR 3 /* unreachable, too big, time exceeded */
#define ICMPV6_ECHO 128
#define MOST_EXTENSION_HEADERS 4

static __always_inline struct sluice_address_v6 address_of(const struct in6_addr* address) {
  struct sluice_address_v6 copy;
  __builtin_memcpy(&copy, address, sizeof copy);
  return copy;
}

static __always_inline int has_role_v6(const struct sluice_address_v6* address, __u16 port, __u8 protocol,
                                       __u32 role) {
  if (!may_have_role(sluice_slot_v6(address), role)) return 0;
  const struct sluice_endpoint_key_v6 key = {.address = *address, .port = port, .protocol = protocol};
  const __u32* roles = bpf_map_lookup_elem(&endpoints_v6, &key);
  return roles && (*roles & role);
}

static __always_inline int is_in_prefix_v6(const struct sluice_address_v6* address) {
  const struct sluice_prefix_key_v6 key = {.length = 128, .address = *address};
  return bpf_map_lookup_elem(&prefixes_v6, &key) != 0;
}

static __always_inline int is_endpoint_v6(const struct sluice_address_v6* address, __u16 port, __u8 protocol,
                                          __u32 role, __u32 wider_bit) {
  if (has_role_v6(address, port, protocol, role)) return 1;
  return (wider_bits() & wider_bit) && has_role_v6(address, 0, protocol, role);
}

static __always_inline int is_flow_v6(const struct in6_addr* from, const struct in6_addr* to,
                                      struct port_pair ports, __u8 protocol) {
  const struct sluice_address_v6 source = address_of(from), destination = address_of(to);
  if (is_endpoint_v6(&destination, ports.destination, protocol, SLUICE_ROLE_VIRTUAL, SLUICE_WIDER_VIRTUAL))
    return 1;
  if ((wider_bits() & SLUICE_WIDER_PREFIX) && is_in_prefix_v6(&destination)) return 1;
  if (!is_endpoint_v6(&source, ports.source, protocol, SLUICE_ROLE_REAL_SERVER, SLUICE_WIDER_REAL_SERVER))
    return 0;
  return !bpf_map_lookup_elem(&host_addresses_v6, &destination);
}

static __always_inline int is_fragment_v6(const struct ipv6hdr* ip) {
  const struct sluice_address_v6 source = address_of(&ip->saddr), destination = address_of(&ip->daddr);
  if (has_role_v6(&destination, 0, 0, SLUICE_ROLE_VIRTUAL)) return 1;
  if ((wider_bits() & SLUICE_WIDER_PREFIX) && is_in_prefix_v6(&destination)) return 1;
  if (!has_role_v6(&source, 0, 0, SLUICE_ROLE_REAL_SERVER)) return 0;
  return !bpf_map_lookup_elem(&host_addresses_v6, &destination);
}

struct transport_v6 {
  const __u8* start;
  __u8 protocol;
  __u8 is_fragment;
  __u8 is_later; /* fragment: what follows is the middle of something */
};

/* Every extension header has at least eight bytes. 0: they end within the headers, or there are too many. */
static __always_inline int find_transport(const struct ipv6hdr* ip, const void* end,
                                          struct transport_v6* found) {
  const __u8* at = (const void*)(ip + 1);
  __u8 kind = ip->nexthdr;
  for (int i = 0; i < MOST_EXTENSION_HEADERS; ++i) {
    if (kind != IPPROTO_HOPOPTS && kind != IPPROTO_DSTOPTS && kind != IPPROTO_ROUTING &&
        kind != IPPROTO_FRAGMENT)
      break;
    if ((const void*)(at + 8) > end) return 0;
    __u32 size = (at[1] + 1) * 8;
    if (kind == IPPROTO_FRAGMENT) {
      size = 8;
      found->is_later = at[2] != 0 || (at[3] & 0xf8) != 0;
      found->is_fragment = found->is_later || (at[3] & 1) != 0;
    }
    kind = at[0];
    at += size;
    if (found->is_later) break;
  }
  found->start = at;
  found->protocol = kind;
  return 1;
}

static __always_inline int is_error_v6(const __u8* icmp, const void* end) {
  const struct ipv6hdr* about = (const void*)(icmp + 8);
  if ((const void*)(about + 1) > end) return 0;
  if (icmp[0] == 0 || icmp[0] > ICMPV6_LAST_ERROR || about->version != 6) return 0;
  struct transport_v6 quoted = {};
  if (!find_transport(about, end, &quoted) || quoted.is_later) return 0;
  const struct port_pair* ports = (const void*)quoted.start;
  if ((const void*)(ports + 1) > end) return 0;
  const struct port_pair turned = {ports->destination, ports->source};
  if (is_flow_v6(&about->daddr, &about->saddr, turned, quoted.protocol)) return 1;
  const struct sluice_address_v6 server = address_of(&about->daddr);
  return is_tunnel(quoted.protocol) && has_role_v6(&server, 0, 0, SLUICE_ROLE_REAL_SERVER);
}

static __always_inline int is_ours_v6(const struct ipv6hdr* ip, const void* end) {
  if ((const void*)(ip + 1) > end || ip->version != 6) return 0;
  struct transport_v6 found = {};
  if (!find_transport(ip, end, &found)) return 0;
  if (found.is_fragment) return is_fragment_v6(ip);
  if (found.protocol == IPPROTO_TCP || found.protocol == IPPROTO_UDP || found.protocol == IPPROTO_SCTP) {
    const struct port_pair* ports = (const void*)found.start;
    return (const void*)(ports + 1) <= end && is_flow_v6(&ip->saddr, &ip->daddr, *ports, found.protocol);
  }
  if (found.protocol != IPPROTO_ICMPV6) return 0;
  if ((const void*)(found.start + 8) > end) return 0;
  if (found.start[0] == ICMPV6_ECHO) {
    const struct sluice_address_v6 destination = address_of(&ip->daddr);
    return has_role_v6(&destination, 0, 0, SLUICE_ROLE_VIRTUAL);
  }
  return is_error_v6(found.start, end);
}

#endif /* SLUICE_STEER_V6_BPF_H_ */
