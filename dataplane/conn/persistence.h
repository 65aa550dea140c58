// What makes a client stay with its real server: IPVS's connection templates. A template names a network of
// clients and a virtual endpoint (or a mark), and the destination they go to; connections made from it hold
// it. In shards, each with a lock, a hash table and a timer wheel; memory comes at construction. In a full
// shard a new template takes the place of one that is worth less (dataplane/README.md, "When something is
// full").
// Threads: workers, when a connection comes, goes, or is first established. Nobody else: a thread that may be
// interrupted while it has a lock would hold up all of them, so control asks a worker
// (runtime/template_query.h).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/config/destination_table.h"
#include "dataplane/config/spec.h"
#include "dataplane/conn/age_lists.h"
#include "dataplane/conn/jiffies.h"
#include "dataplane/conn/timer_wheel.h"
#include "dataplane/net/flow_hash.h"
#include "dataplane/net/huge_array.h"
#include "schedulers/scheduler.h"
#include "schedulers/spin_lock.h"

namespace sluice {

inline constexpr Protocol kNoProtocol{0};  // of a mark's templates

struct TemplateKey {
  IpAddress client;           // host bits are zero
  IpAddress virtual_address;  // a mark is an address, as in the kernel's lists: 7 is 0.0.0.7
  Be16 virtual_port;          // 0: every port
  Protocol protocol = kNoProtocol;

  friend bool operator==(const TemplateKey&, const TemplateKey&) = default;
};

// What connections share a template. All ports of an FTP service do, as do those of a service of every port.
TemplateKey TemplateKeyOf(const ServiceSpec& spec, const FlowKey& flow);

// Names a template as long as it is not evicted; its successor in the same slot has another name.
using TemplateId = uint32_t;
inline constexpr TemplateId kNoTemplate = 0;

// Templates that go first when a shard is full.
enum class TemplateList : uint8_t {
  kUnassured,  // no connection was ever established from it
  kIdle,       // assured, and no connection holds it: since when is its age
  kCount
};

struct Template {
  TemplateKey key;
  IpAddress destination;
  Be16 destination_port;  // the destination's own
  DestinationId destination_id = kNoDestination;
  uint32_t children = 0;  // connections that hold it
  Jiffies timeout = 0;
  Jiffies deadline = 0;
  bool assured = false;     // a connection was established
  bool retired = false;     // its destination may no longer be used: nobody finds it
  uint32_t next = 0;        // in its hash chain
  uint32_t generation = 0;  // of the slot
};

class PersistenceTable {
 public:
  PersistenceTable(uint32_t capacity, const HashSecret& secret, Jiffies now, DestinationTable& destinations);

  // The destination of a new connection, which holds the template from now on: that of a usable template, or
  // what `pick` chooses (nullptr: nobody).
  struct Joined {
    TemplateId id = kNoTemplate;
    IpAddress address;
    Be16 port;
    DestinationId destination_id = kNoDestination;
    bool full = false;                    // no room for a new template
    std::optional<TemplateList> evicted;  // a template of this list went for it
  };
  struct Wish {
    TemplateKey key;
    Jiffies timeout;
    bool expire_quiescent;  // a destination of weight 0 is not to be used
  };
  template <class Pick>
  Joined Join(const Wish& wish, Jiffies now, Pick pick) {
    Shard& shard = ShardOf(wish.key);
    const std::lock_guard lock(shard.lock);
    if (const uint32_t found = FindUsable(shard, wish); found != 0) return Hold(shard, found, now);
    const Candidate* candidate = pick();
    if (candidate == nullptr) return {};
    const std::optional<TemplateList> evicted = MakeRoom(shard);
    const uint32_t made = Make(shard, {.key = wish.key,
                                       .destination = candidate->address,
                                       .destination_port = candidate->port,
                                       .destination_id = candidate->id,
                                       .timeout = wish.timeout,
                                       .deadline = now + wish.timeout});
    if (made == 0) return {.full = true};
    Joined joined = Hold(shard, made, now);
    joined.evicted = evicted;
    return joined;
  }
  // One that another balancer has had, which nobody holds yet. False: there is one of this key, or no room.
  bool Adopt(const Template& adopted);

  // A connection that held it has gone. Of an evicted one nothing is to be done.
  void Leave(TemplateId id);
  // The same, by force: a template that nobody holds and that never was assured goes, too.
  void LeaveByForce(TemplateId id);
  void Assure(TemplateId id);

  // Removes templates whose time is up, a bounded number of them. Returns how many were looked at.
  int Expire(Jiffies now);
  // Some slots of every shard: `count` of them from `first` on (the first of all is 1), `stride` apart.
  struct Slots {
    uint32_t first = 1;
    uint32_t count = 1;
    uint32_t stride = 1;
  };
  // drop_entry: of some slots, drops what nobody holds and never was assured. True: there may be more behind
  // them.
  bool DropUnassured(const Slots& slots);
  // expire_nodest_conn: the same of what nobody holds and whose destination is not available.
  bool DropUnavailable(const Slots& slots);

  // A walk over all of them, some slots at a time.
  struct Cursor {
    uint32_t shard = 0;
    uint32_t slot = 1;
    bool AtEnd() const { return shard == kShards; }
  };
  // The templates of some destinations (by id) are found no more, and go when no connection holds them.
  // Returns how many of them there were in this part.
  uint64_t ForgetSome(Cursor& cursor, const std::vector<bool>& destinations);
  // Copies what this part has, as long as there is room. Returns how many.
  size_t CopySome(Cursor& cursor, std::span<Template> room) const;

  // The template that a new connection would be made from, if there is one.
  std::optional<Template> Find(const TemplateKey& key, bool expire_quiescent);

  // Calls `see` with copies of all of them.
  template <class See>
  void ForEach(See see) const {
    std::vector<Template> copies(kChunk);
    for (Cursor cursor; !cursor.AtEnd();) {
      const size_t count = CopySome(cursor, copies);
      for (size_t i = 0; i < count; ++i) see(copies[i]);
    }
  }

  uint32_t size() const;

 private:
  static constexpr uint32_t kShards = 16;
  static constexpr int kShardBits = 4;
  static constexpr uint32_t kChunk = 64;
  static constexpr int kExpireAtOnce = 32;
  // Unassured templates above this part of a shard go before idle ones, below it after them.
  static constexpr uint32_t kUnassuredShare = 8;
  static constexpr int kUnassuredLooks = 8;  // for one that no connection holds

  struct Shard {
    Shard(uint32_t capacity, uint32_t buckets, Jiffies now)
        : slots(capacity + 1, Pages::kAtOnce),
          heads(buckets, Pages::kAtOnce),
          free(capacity + 1, Pages::kAtOnce),
          lists(capacity),
          wheel(capacity, now) {}

    mutable SpinLock lock;
    HugeArray<Template> slots;  // [0] is nobody; free ones have no destination id
    HugeArray<uint32_t> heads;  // of hash chains
    HugeArray<uint32_t> free;   // a stack
    uint32_t free_count = 0;
    uint32_t next_unused = 1;
    uint32_t size = 0;
    AgeLists<TemplateList> lists;
    TimerWheel wheel;
  };

  uint64_t HashOf(const TemplateKey& key) const;
  Shard& ShardOf(const TemplateKey& key) { return *shards_[HashOf(key) % kShards]; }
  Shard& ShardOf(TemplateId id) { return *shards_[id % kShards]; }
  // From the lowest bit: the shard, the slot, and as much of the generation as there is room for.
  TemplateId IdOf(const Shard& shard, uint32_t slot) const;
  // 0: that template was evicted.
  uint32_t SlotOf(const Shard& shard, TemplateId id) const;
  uint32_t& HeadOf(Shard& shard, const TemplateKey& key) {
    return shard.heads[HashOf(key) / kShards % shard.heads.size()];
  }

  uint32_t FindIn(Shard& shard, const TemplateKey& key);
  bool IsUsable(const Template& found, bool expire_quiescent) const;
  uint32_t FindUsable(Shard& shard, const Wish& wish);
  uint32_t Make(Shard& shard, const Template& wanted);
  std::optional<TemplateList> MakeRoom(Shard& shard);
  uint32_t OldestUnassured(const Shard& shard) const;
  static std::optional<TemplateList> ListOf(const Template& each);
  void LeaveSlot(Shard& shard, uint32_t slot);
  template <class MayGo>
  bool DropSome(const Slots& slots, MayGo may_go);
  Joined Hold(Shard& shard, uint32_t slot, Jiffies now);
  void Unlink(Shard& shard, uint32_t slot);
  void Remove(Shard& shard, uint32_t slot);  // no longer filed

  const HashSecret secret_;
  const uint32_t shard_capacity_;
  const int slot_bits_;
  DestinationTable& destinations_;
  std::vector<std::unique_ptr<Shard>> shards_;
  Jiffies expired_at_;
};

}  // namespace sluice
