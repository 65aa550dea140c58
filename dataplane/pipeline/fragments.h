// Fragments of one datagram share its ports, which only the first has: they are remembered by addresses,
// protocol (IPv4) and identification, and fragments that come before the first wait for it. Bounded memory
// and time, whatever comes: a set of four datagrams gives up its oldest; of the packets that wait the oldest
// goes, and no source has more than half of the places.
// Threads: belongs to one worker.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "dataplane/conn/jiffies.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/headers.h"
#include "dataplane/pipeline/lanes.h"

namespace sluice {

class FragmentTable {
 public:
  struct Key {
    IpAddress source;
    IpAddress destination;
    uint64_t identification = 0;  // and, of IPv4, the protocol

    static Key Of(const Ipv4Header& ip) {
      return {IpAddress::FromV4(ip.source), IpAddress::FromV4(ip.destination),
              ip.identification.raw | uint64_t{ip.protocol} << 32};
    }
    static Key Of(const Ipv6Header& ip, Be32 identification) {
      return {IpAddress::FromV6(ip.source), IpAddress::FromV6(ip.destination), identification.raw};
    }
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Ports {
    Be16 source;
    Be16 destination;
  };

  explicit FragmentTable(const HashSecret& secret);
  ~FragmentTable();
  FragmentTable(const FragmentTable&) = delete;
  FragmentTable& operator=(const FragmentTable&) = delete;

  // The first fragment came. Those that waited for it are released.
  void Learn(const Key& key, const Ports& ports, Jiffies now);
  // Nothing: the first has not come yet, or long ago.
  std::optional<Ports> Find(const Key& key, Jiffies now) const;
  // Keeps a packet until its first fragment comes. False: the source has too many there, and the packet stays
  // the caller's.
  bool Hold(const Key& key, rte_mbuf* packet, Jiffies now);

  // Takes up to a burst of released packets.
  int TakeReleased(rte_mbuf** packets);
  // Frees those that have waited too long, and returns how many.
  int DropStale(Jiffies now);
  // How many the Holds since the last call have freed to make a place.
  int TakeEvicted() { return std::exchange(evicted_count_, 0); }
  // Fragments whose first has not come, or that nobody has taken yet.
  int waiting() const { return waiting_count_ + released_count_; }

 private:
  static constexpr int kSets = 512;
  static constexpr int kWays = 4;
  static constexpr uint32_t kMostWaiting = 256;
  static constexpr uint32_t kMostOfOneSource = kMostWaiting / 2;
  static constexpr Jiffies kRemembered = JiffiesFromSeconds(30);  // as long as a host waits for the rest
  static constexpr Jiffies kMostPatience = JiffiesFromSeconds(1);

  struct Datagram {
    Key key;
    Ports ports;
    Jiffies learnt_at = 0;
    bool in_use = false;
  };
  struct Waiting {
    Key key;
    rte_mbuf* packet = nullptr;
    Jiffies since = 0;
  };
  // Tag compared before the key, of all places at once; an empty place has 0.
  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 32) | 1; }
  uint64_t HashOf(const Key& key) const;
  uint32_t SourceTagOf(const Key& key) const { return AddressWord(key.source, secret_).raw | 1; }
  rte_mbuf* Empty(uint32_t place);
  void EvictOldest();

  const HashSecret secret_;
  std::vector<std::array<Datagram, kWays>> sets_;
  // A ring, in order of arrival: from oldest_ to before next_ modulo its size, some of them empty again.
  std::array<Waiting, kMostWaiting> waiting_{};
  alignas(64) std::array<uint32_t, kMostWaiting> tags_{};
  alignas(64) std::array<uint32_t, kMostWaiting> source_tags_{};
  uint32_t oldest_ = 0;
  uint32_t next_ = 0;
  int waiting_count_ = 0;
  int evicted_count_ = 0;
  std::array<rte_mbuf*, kMostWaiting> released_{};  // from released_at_ on
  int released_at_ = 0;
  int released_count_ = 0;
};

}  // namespace sluice
