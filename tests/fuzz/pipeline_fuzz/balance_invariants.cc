// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "dataplane/pipeline/counter_role.h"
#include "tests/fuzz/pipeline_fuzz/invariants.h"

namespace sluice::fuzz {
namespace {

struct Load {
  int32_t total = 0;
  int32_t active = 0;
  int32_t persistent = 0;
};

std::string ToText(const Load& load) {
  return "total " + std::to_string(load.total) + " active " + std::to_string(load.active) + " persistent " +
         std::to_string(load.persistent);
}

void CheckLoads(const Workers& workers, std::map<DestinationId, Load> expected, Complaints& complaints) {
  for (DestinationId id = kNoDestination + 1; id < workers.destinations.End(); ++id) {
    const DestinationLoad& load = workers.destinations.load(id);
    const Load& should = expected[id];
    const Load is = {load.Total(), load.Active(), load.persistent.load()};
    complaints.Demand(
        is.total == should.total && is.active == should.active && is.persistent == should.persistent, "loads",
        [&] {
          return "destination " + std::to_string(id) + " has " + ToText(is) + ", must have " + ToText(should);
        });
  }
}

void CheckPorts(const Workers& workers, const std::vector<std::vector<Flow>>& flows, Complaints& complaints) {
  std::map<std::pair<Names, uint16_t>, uint32_t>
      used;  // local address, server, and the destination's own port
  std::set<Names> taken;
  for (const auto& of_worker : flows) {
    for (const Flow& flow : of_worker) {
      if (!flow.is_full_nat) continue;
      complaints.Demand(taken.insert(flow.to_server).second, "one_port_one_client",
                        [&] { return flow.to_server.ToText() + " is of two connections"; });
      Names pool = flow.to_server;
      pool.source_port = pool.destination_port = 0;
      ++used[{pool, workers.destinations.port(flow.destination).ToHost()}];
    }
  }
  if (workers.snapshot->port_pools != nullptr) {
    for (const auto& [key, pool] : *workers.snapshot->port_pools) {
      const Names names = {static_cast<uint8_t>(key.server.protocol), Address::Of(key.local), 0,
                           Address::Of(key.server.address), 0};
      const auto found = used.find({names, key.server.port.ToHost()});
      const uint32_t expected = found == used.end() ? 0 : found->second;
      complaints.Demand(pool->taken() == expected, "local_ports", [&, taken = pool->taken()] {
        return "pool " + names.ToText() + " says " + std::to_string(taken) + " taken, connections have " +
               std::to_string(expected);
      });
      if (found != used.end()) used.erase(found);
    }
  }
  complaints.Demand(used.empty(), "local_ports",
                    [] { return "connections have ports of a pool that is no more"; });
}

void CheckTable(const Worker& worker, const std::vector<Flow>& flows, Complaints& complaints) {
  std::set<Names> seen;
  for (const Flow& flow : flows) {
    complaints.Demand(seen.insert(flow.from_client).second, "one_connection_one_name",
                      [&] { return flow.from_client.ToText() + " is of two connections"; });
  }
  uint64_t born = 0, dead = 0;
  for (int i = 0; i < kCounterCount; ++i) {
    const auto counter = static_cast<Counter>(i);
    if (RoleOf(counter) == CounterRole::kBirth) born += worker.counters.Get(counter);
    if (RoleOf(counter) == CounterRole::kDeath) dead += worker.counters.Get(counter);
  }
  const uint32_t size = worker.connections.size();
  complaints.Demand(size == flows.size() && born - dead == size, "connection_counters", [&] {
    return "born " + std::to_string(born) + ", dead " + std::to_string(dead) + ", in the table " +
           std::to_string(size) + ", found there " + std::to_string(flows.size());
  });
  complaints.Demand(size <= worker.connections.capacity(), "table_size",
                    [&] { return std::to_string(size); });
}

// Admission: what goes first when the table is full, and who has how much of it.
void CheckAdmission(const Worker& worker, const std::vector<Flow>& flows, Complaints& complaints) {
  uint32_t closed = 0, unanswered = 0;
  std::map<uint32_t, uint32_t> of_service;
  for (const Flow& flow : flows) {
    closed += (flow.flags & kConnectionClosed) != 0;
    unanswered += (flow.flags & kConnectionUnanswered) != 0;
    ++of_service[worker.destinations.service_number(flow.destination)];
  }
  complaints.Demand(closed == worker.eviction.size(EvictionList::kClosed) &&
                        unanswered == worker.eviction.size(EvictionList::kUnanswered),
                    "eviction_lists", [&] {
                      return std::to_string(closed) + " closed, " + std::to_string(unanswered) +
                             " unanswered, in lists " +
                             std::to_string(worker.eviction.size(EvictionList::kClosed)) + " and " +
                             std::to_string(worker.eviction.size(EvictionList::kUnanswered));
                    });
  for (const auto& [service, count] : of_service) {
    complaints.Demand(worker.shares.OfService(service) >= count, "shares",
                      [&, service = service, count = count] {
                        return "service " + std::to_string(service) + " has " + std::to_string(count) +
                               " connections, says " + std::to_string(worker.shares.OfService(service));
                      });
  }
}

}  // namespace

void CheckBalance(const Workers& workers, const std::vector<std::vector<Flow>>& flows,
                  Complaints& complaints) {
  std::map<DestinationId, Load> loads;
  uint64_t holders = 0;
  for (size_t i = 0; i < flows.size(); ++i) {
    CheckTable(*workers.workers[i], flows[i], complaints);
    CheckAdmission(*workers.workers[i], flows[i], complaints);
    for (const Flow& flow : flows[i]) {
      ++loads[flow.destination].total;
      loads[flow.destination].active += !flow.is_inactive;
      holders += flow.has_template;
    }
  }
  uint64_t held = 0;
  workers.persistence->ForEach([&](const Template& each) {
    ++loads[each.destination_id].persistent;
    held += each.children;
  });
  // A template that was evicted is held by connections that know it no more.
  complaints.Demand(held <= holders, "template_holders", [&] {
    return std::to_string(holders) + " connections hold templates, templates say " + std::to_string(held);
  });
  CheckLoads(workers, std::move(loads), complaints);
  CheckPorts(workers, flows, complaints);
  const unsigned buffers = workers.BuffersInUse();
  const size_t waiting = workers.PacketsWaiting();
  complaints.Demand(waiting == 0 ? buffers == 0 : buffers >= waiting, "buffers", [&] {
    return std::to_string(buffers) + " in use while " + std::to_string(waiting) + " packets wait";
  });
}

void CheckNewFlows(const std::vector<Flow>& before, const std::vector<Flow>& after, const Book& book,
                   Complaints& complaints) {
  std::set<std::pair<Names, DestinationId>> known;
  for (const Flow& flow : before) known.insert({flow.from_client, flow.destination});
  for (const Flow& flow : after) {
    if (known.contains({flow.from_client, flow.destination})) continue;
    const ServiceKey* key = book.ServiceOf(flow.destination);
    complaints.Demand(key != nullptr && book.IsFor(*key, flow.from_client), "server_of_the_service", [&] {
      return flow.from_client.ToText() + " went to a destination of another service, " +
             flow.to_server.ToText();
    });
    complaints.Demand(flow.client().IsOfHost(), "client_is_a_host",
                      [&] { return flow.from_client.ToText(); });
  }
}

void CheckNothingIsLeft(const Workers& workers, Complaints& complaints) {
  for (const auto& worker : workers.workers) {
    complaints.Demand(worker->connections.size() == 0, "nothing_left",
                      [&] { return std::to_string(worker->connections.size()) + " connections"; });
    for (uint32_t service = 0; service < 1024; ++service)
      complaints.Demand(worker->shares.OfService(service) == 0, "nothing_left",
                        [] { return "a share of a service"; });
  }
  complaints.Demand(workers.PacketsWaiting() == 0 && workers.BuffersInUse() == 0, "nothing_left",
                    [&] { return std::to_string(workers.BuffersInUse()) + " buffers"; });
  complaints.Demand(workers.persistence->size() == 0, "nothing_left",
                    [&] { return std::to_string(workers.persistence->size()) + " templates"; });
  complaints.Demand(workers.snapshot->port_pools == nullptr, "nothing_left",
                    [] { return "pools of local ports"; });
  complaints.Demand(workers.snapshots.trash_size() == 0, "nothing_left",
                    [&] { return std::to_string(workers.snapshots.trash_size()) + " removed destinations"; });
}

}  // namespace sluice::fuzz
