// What the XDP program and the loader share: the maps' keys and values, declared once, in C, for both.
// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#ifndef SLUICE_STEER_ABI_H_
#define SLUICE_STEER_ABI_H_

#include <linux/types.h>

/* Why a packet is Sluice's; bits, since an endpoint may have both roles. */
#define SLUICE_ROLE_VIRTUAL 1u     /* packets to it */
#define SLUICE_ROLE_REAL_SERVER 2u /* packets from it */

/* What the program must look for besides exact endpoints: bits of `wider`. */
#define SLUICE_WIDER_VIRTUAL 1u /* endpoints of port 0 that stand for every port */
#define SLUICE_WIDER_REAL_SERVER 2u
#define SLUICE_WIDER_PREFIX 4u /* prefixes whose every packet may be Sluice's */

#define SLUICE_MAX_ENDPOINTS (1u << 20)
#define SLUICE_MAX_PREFIXES (1u << 16)
#define SLUICE_MAX_HOST_ADDRESSES (1u << 16)
#define SLUICE_MAX_QUEUES 64u
#define SLUICE_MAX_WORKERS 64u

struct sluice_address_v6 {
  __u32 words[4];
};

/* The one value of the array `hints`, memory-mapped by the daemon: what spares the program most of its looks
 * into the maps of endpoints. An address whose slot has not the role is no endpoint of that role; others may
 * share a slot. */
#define SLUICE_ADDRESS_SLOT_BITS 18
#define SLUICE_ADDRESS_SLOTS (1u << SLUICE_ADDRESS_SLOT_BITS)
struct sluice_hints {
  __u32 wider;
  __u8 roles[SLUICE_ADDRESS_SLOTS];
};

static inline __u32 sluice_mix(__u32 word) { return (word ^ word >> 16) * 0x9e3779b1u; }
static inline __u32 sluice_slot(__u32 word) {
  word = sluice_mix(word);
  return (word ^ word >> 15) * 0x85ebca6bu >> (32 - SLUICE_ADDRESS_SLOT_BITS);
}
static inline __u32 sluice_slot_v6(const struct sluice_address_v6* address) {
  const __u32* words = address->words;
  return sluice_slot(sluice_mix(sluice_mix(sluice_mix(words[0]) ^ words[1]) ^ words[2]) ^ words[3]);
}

/* Key of the map `endpoints`; network byte order as in the packet. The value is a __u32 of roles. Port and
 * protocol 0: the address alone, which decides about fragments. */
struct sluice_endpoint_key {
  __u32 address;
  __u16 port;
  __u8 protocol;
  __u8 zero;
};

/* The same of IPv6, in the map `endpoints_v6`. */
struct sluice_endpoint_key_v6 {
  struct sluice_address_v6 address;
  __u16 port;
  __u8 protocol;
  __u8 zero;
};

/* Key of the map `prefixes`: destinations of packets; network byte order. The value says nothing. */
struct sluice_prefix_key {
  __u32 length;
  __u32 address;
};

/* The same of IPv6, in the map `prefixes_v6`. */
struct sluice_prefix_key_v6 {
  __u32 length;
  struct sluice_address_v6 address;
};

/* Value of the array `heartbeats`, one per worker, memory-mapped by the daemon: CLOCK_MONOTONIC, in
 * nanoseconds, when the worker last looked at its queues; 0: it is not to have any packets. And for how long
 * it may be silent, which it sets itself. A cache line each. */
struct sluice_heartbeat {
  __u64 time_ns;
  __u64 limit_ns;
  __u64 openings; /* how many segments that open connections a queue may get until the next beat */
  __u64 unused[5];
};

/* Half of a socket's ring: so many of those may wait in it at most, whatever the worker allows. */
#define SLUICE_MOST_OPENINGS 1024u

/* Value of the array `openings`, one per queue of an interface: how many a queue has got since that beat. */
struct sluice_openings {
  __u64 beat;
  __u64 count;
};

/* The one value of the array `stall`, memory-mapped by the daemon: what becomes of packets for a worker that
 * has a socket, and was silent for too long. */
struct sluice_stall {
  __u32 passes; /* 1: they are the kernel's, which can carry the services; 0: dropped, and sent again */
};

/* Read-only data of the program, set before it is loaded. */
struct sluice_steer_settings {
  __u32 workers; /* queue q belongs to worker q % workers */
};

/* Data of the program of one interface, memory-mapped by the daemon, which keeps it like the interface. */
#define SLUICE_VLANS 4096u
struct sluice_interface {
  __u64 mac;                       /* as sluice_mac makes it; 0: not known yet */
  __u64 vlans[SLUICE_VLANS / 64u]; /* bits of those that the host is in */
};

/* The three words of a MAC address, as they are in memory. */
static inline __u64 sluice_mac(__u16 first, __u16 second, __u16 third) {
  return first | (__u64)second << 16 | (__u64)third << 32;
}

/* Indices of the per-CPU array `counts`, __u64 each. */
enum sluice_count {
  SLUICE_COUNT_STEERED,       /* to a worker */
  SLUICE_COUNT_STALE,         /* to the kernel, because the worker's heartbeat is too old */
  SLUICE_COUNT_STALE_DROPPED, /* dropped for that, because the kernel does not have the services */
  SLUICE_COUNT_OPENINGS,      /* dropped: would open a connection, and the queue has too many of them */
  SLUICE_COUNT_RELEASED,      /* to the kernel, because Sluice is not to forward */
  SLUICE_COUNT_NO_SOCKET,     /* to the kernel, because the queue has no worker */
  SLUICE_COUNT_MAX
};

#endif /* SLUICE_STEER_ABI_H_ */
