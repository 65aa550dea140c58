// What sluiced has of ours and what it should have: which changes bring it there. Real servers that are no longer
// wanted but have connections are drained first.
// Threads: one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/kubernetes/virtual_services.h"
#include "sluice/v1/sluice.pb.h"

namespace sluice::kubernetes {

// Whether it is to be programmed first.
bool IsNeededByAll(const ObjectName& service);

class Program {
 public:
  // What sluiced has now. Services at excluded addresses are not looked at.
  void Begin(const v1::Config& config, const std::vector<Prefix>& excluded);

  // The virtual services of a Service; none: it is gone. Of several Services that claim the same address and
  // port the first by kind, then the oldest, then the first by name has it. `leaving` are real servers whose
  // pods are being ended: when one is among them no more its grace period is over, and what drains there has
  // ended.
  void Want(const ObjectName& service, std::vector<Claim> claims, const std::vector<Leaving>& leaving = {},
            int64_t created = 0);
  // Services that are not among these are gone.
  void WantOnly(const std::vector<ObjectName>& services);

  // Changes of about so many services and real servers together, those of Services everybody needs first;
  // empty: sluiced has everything. Nothing goes before it is known once what is wanted only.
  std::vector<v1::Change> NextChanges(size_t most);
  // Of what NextChanges gave, the oldest that was not yet answered: sluiced has taken it; or none of it, and
  // it is tried again.
  void Taken();
  void Refused();
  // The same, before it is refused: this one is left out until its Service changes, or all are tried again.
  struct LeftOut {
    std::string what;  // "TCP 10.0.0.1 port 80"
    ObjectName service;
  };
  LeftOut LeaveOut(size_t change);
  void TryLeftOutAgain();

  // Services that do not get what they claim, because another has it.
  struct Loss {
    ObjectName loser, winner;
    VirtualKey key;
  };
  std::vector<Loss> Losses() const;

  // Which virtual services have real servers that drain.
  std::vector<VirtualKey> Draining() const;
  // A real server has no connections any more.
  void HasDrained(const VirtualKey& service, const std::string& address, uint32_t port);

  size_t service_count() const { return have_.size(); }

 private:
  using DestinationName = Leaving;
  struct Rank {
    ClaimKind kind;
    int64_t created;
    ObjectName service;
    friend auto operator<=>(const Rank&, const Rank&) = default;
  };
  static DestinationName NameOf(const v1::Destination& destination) {
    return {destination.address(), destination.port()};
  }
  // What is wanted and what is there are mostly the same, and kept once.
  using Shared = std::shared_ptr<const v1::Service>;
  struct Programmed {
    Shared service;  // null: none
    std::vector<v1::Destination> draining;
  };
  static bool IsSame(const Programmed& a, const Programmed& b);
  Shared Wanted(const VirtualKey& key) const;
  bool HasIt(const ObjectName& service, const VirtualKey& key) const;
  void PutClaim(const VirtualKey& key, const Rank& rank, Claim claim);
  void DropClaim(const VirtualKey& key, const Rank& rank);
  Programmed Have(const VirtualKey& key) const;
  // What is wanted, with what drains.
  Programmed Target(const Shared& wanted, const Programmed& have) const;
  void Mark(const VirtualKey& key);
  void EndDrains(const VirtualKey& key, const std::set<DestinationName>& ended);

  std::map<VirtualKey, Programmed> have_;
  // The first has it. Null: it is somebody else's on this host.
  std::map<VirtualKey, std::map<Rank, Shared>> claims_;
  std::set<VirtualKey> contested_;  // with several claims
  std::map<ObjectName, std::map<VirtualKey, Rank>> keys_of_;
  std::map<ObjectName, std::set<DestinationName>> leaving_;
  std::set<VirtualKey> urgent_, dirty_;
  bool knows_all_ = false;       // what is wanted
  std::set<VirtualKey> may_go_;  // when all is known
  std::set<VirtualKey> left_out_;
  std::map<VirtualKey, std::set<DestinationName>> drained_;
  struct Sent {
    VirtualKey key;
    Programmed target;
  };
  std::deque<std::vector<Sent>> sent_;
};

}  // namespace sluice::kubernetes
