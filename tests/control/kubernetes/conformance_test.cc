// Objects in, virtual services out: every case of conformance.txt, in whatever order the objects come.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "control/kubernetes/cluster.h"
#include "control/kubernetes/program.h"
#include "control/kubernetes/virtual_services.h"

namespace sluice::kubernetes {
namespace {

struct Step {
  std::vector<ServiceObject> services;
  std::vector<SliceObject> slices;
  std::set<std::string> connections;  // "VS RS"
  std::set<std::string> serves;
  std::map<std::string, uint32_t> local, health;
  std::set<std::string> lacks;  // "internal ns1/web"
};

struct Case {
  std::string name;
  std::string title;
  std::vector<Address> node;
  std::vector<Prefix> node_ports;
  bool is_v6 = false;
  bool is_compat = false;  // it holds only as kube-proxy's ipvs mode does it
  NodePolicy policy;
  std::vector<Step> steps;
};

template <class Object>
Object Parse(const std::string& text) {
  Object object;
  JsonReader json(text);
  Read(json, object);
  EXPECT_TRUE(json.ok() && json.AtEnd()) << json.error() << ": " << text;
  return object;
}

std::vector<Case> ReadCases() {
  std::ifstream file(CASES);
  EXPECT_TRUE(file.good()) << CASES;
  std::vector<Case> cases;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    std::string word, rest;
    words >> word >> std::ws;
    std::getline(words, rest);
    std::istringstream of_rest(rest);
    std::string each;
    if (word == "case") {
      of_rest >> cases.emplace_back().name;
      cases.back().title = rest;
      cases.back().policy.node_name = "test-node";
    } else if (word == "node") {
      while (of_rest >> each) cases.back().node.push_back(*ParseAddress(each));
    } else if (word == "nodeports") {
      while (of_rest >> each) cases.back().node_ports.push_back(*ParsePrefix(each));
    } else if (word == "family") {
      cases.back().is_v6 = rest == "6";
    } else if (word == "zone") {
      cases.back().policy.zone = rest;
    } else if (word == "scheduler") {
      cases.back().policy.scheduler = rest;
    } else if (word == "compat") {
      cases.back().is_compat = true;
    } else if (word == "step") {
      cases.back().steps.emplace_back();
    } else if (word == "Service") {
      cases.back().steps.back().services.push_back(Parse<ServiceObject>(rest));
    } else if (word == "EndpointSlice") {
      cases.back().steps.back().slices.push_back(Parse<SliceObject>(rest));
    } else if (word == "connections") {
      cases.back().steps.back().connections.insert(rest);
    } else if (word == "serves") {
      cases.back().steps.back().serves.insert(rest);
    } else if (word == "local" || word == "health") {
      std::string name;
      uint32_t number = 0;
      of_rest >> name >> number;
      (word == "local" ? cases.back().steps.back().local : cases.back().steps.back().health)[name] = number;
    } else if (word == "lacks") {
      cases.back().steps.back().lacks.insert(rest);
    } else {
      ADD_FAILURE() << "no such line: " << line;
    }
  }
  for (Case& each : cases) {
    for (const Address& address : each.node) {
      const bool chosen = each.node_ports.empty() ||
                          std::any_of(each.node_ports.begin(), each.node_ports.end(),
                                      [&](const Prefix& prefix) { return prefix.Contains(address); });
      if (chosen) each.policy.node_port_addresses.push_back(address);
      each.policy.local_addresses.insert(address.text);
    }
  }
  return cases;
}

std::string HostPort(const std::string& address, uint32_t port) {
  const bool is_v6 = address.find(':') != std::string::npos;
  std::string text = is_v6 ? "[" : "";
  text += address;
  text += is_v6 ? "]:" : ":";
  return text + std::to_string(port);
}

// As "serves" has it.
std::string Describe(const v1::Service& service) {
  std::string text = v1::Protocol_Name(service.key().protocol()) + " " +
                     HostPort(service.key().address(), service.key().port()) + " " + service.scheduler();
  bool is_full_nat = false;
  std::set<std::string> servers;
  for (const v1::Destination& each : service.destinations()) {
    is_full_nat |= each.method() == v1::FULLNAT;
    servers.insert(HostPort(each.address(), each.port()) + (each.weight() == 0 ? "(w0)" : ""));
  }
  text += is_full_nat ? " fullnat" : " nat";
  if (service.has_persistence())
    text += " persist=" + std::to_string(service.persistence().timeout_seconds());
  text += " =";
  for (const std::string& each : servers) text += " " + each;
  return text;
}

// Without servers nobody can tell how they would be reached.
std::string WithoutMethod(std::string text) {
  if (!text.ends_with(" =")) return text;
  for (const char* method : {" fullnat", " nat"}) {
    if (const size_t at = text.find(method); at != std::string::npos)
      text.erase(at, std::string(method).size());
  }
  return text;
}

// What sluiced would have.
class Sluiced {
 public:
  void Take(Program& program) {
    for (auto changes = program.NextChanges(3); !changes.empty(); changes = program.NextChanges(3)) {
      for (const v1::Change& change : changes) {
        if (change.has_put_service()) {
          services_[VirtualKey::Of(change.put_service().service().key())] = change.put_service().service();
        } else {
          EXPECT_EQ(services_.erase(VirtualKey::Of(change.delete_service().key())), 1u);
        }
      }
      program.Taken();
    }
  }
  void Reap(Program& program, const std::set<std::string>& connections) {
    for (const VirtualKey& key : program.Draining()) {
      const v1::Service service = services_.at(key);
      for (const v1::Destination& each : service.destinations()) {
        const std::string name = HostPort(key.address, key.port) + "/" + v1::Protocol_Name(key.protocol) +
                                 " " + HostPort(each.address(), each.port());
        if (each.weight() == 0 && !connections.contains(name))
          program.HasDrained(key, each.address(), each.port());
      }
    }
    Take(program);
  }
  std::set<std::string> Describe(bool is_v6) const {
    std::set<std::string> all;
    for (const auto& [key, service] : services_) {
      if ((key.address.find(':') != std::string::npos) == is_v6)
        all.insert(WithoutMethod(kubernetes::Describe(service)));
    }
    return all;
  }
  v1::Config Config() const {
    v1::Config config;
    for (const auto& [key, service] : services_) *config.add_services() = service;
    return config;
  }

 private:
  std::map<VirtualKey, v1::Service> services_;
};

std::map<ObjectName, Translation> TranslateAll(const Cluster& cluster, const NodePolicy& policy) {
  std::map<ObjectName, Translation> all;
  for (const ObjectName& name : cluster.ServiceNames()) {
    cluster.Look(name, [&](const ServiceObject& service, std::span<const SliceObject* const> slices) {
      all[name] = Translate(service, slices, policy);
    });
  }
  return all;
}

void Want(const std::map<ObjectName, Translation>& all, Program& program) {
  std::vector<ObjectName> names;
  for (const auto& [name, translation] : all) {
    program.Want(name, translation.services, translation.leaving);
    names.push_back(name);
  }
  program.WantOnly(names);
}

void Check(const Case& test, const Step& step, const std::map<ObjectName, Translation>& all) {
  std::map<std::string, uint32_t> local, health;
  std::set<std::string> lacks;
  for (const auto& [name, translation] : all) {
    if (translation.local_ready != 0) local[name.ToString()] = translation.local_ready;
    if (translation.health_check_port != 0) health[name.ToString()] = translation.health_check_port;
    if (translation.lacks_internal) lacks.insert("internal " + name.ToString());
    if (translation.lacks_external) lacks.insert("external " + name.ToString());
  }
  EXPECT_EQ(local, step.local) << test.title;
  EXPECT_EQ(health, step.health) << test.title;
  EXPECT_EQ(lacks, step.lacks) << test.title;
}

TEST(ConformanceTest, EveryCaseStepByStep) {
  int cases = 0;
  for (Case& test : ReadCases()) {
    SCOPED_TRACE(test.title);
    ++cases;
    test.policy.is_local_policy_compatible = test.is_compat;
    Cluster cluster;
    Program program;
    Sluiced sluiced;
    for (const Step& step : test.steps) {
      cluster.Replace(step.services);
      cluster.Replace(step.slices);
      const std::map<ObjectName, Translation> all = TranslateAll(cluster, test.policy);
      Want(all, program);
      sluiced.Take(program);
      sluiced.Reap(program, step.connections);
      std::set<std::string> wanted;
      for (const std::string& each : step.serves) wanted.insert(WithoutMethod(each));
      EXPECT_EQ(sluiced.Describe(test.is_v6), wanted);
      Check(test, step, all);
    }
  }
  EXPECT_GT(cases, 160);
}

TEST(ConformanceTest, StrictlyNobodyAnswersWhereThePolicyIsLocalAndNobodyIsHere) {
  int cases = 0;
  for (const Case& test : ReadCases()) {
    if (!test.is_compat) continue;
    ++cases;
    Cluster cluster;
    cluster.Replace(test.steps[0].services);
    cluster.Replace(test.steps[0].slices);
    const ServiceObject& service = test.steps[0].services[0];
    for (const auto& [name, translation] : TranslateAll(cluster, test.policy)) {
      for (const auto& [each, kind, is_served] : translation.services) {
        const bool is_cluster_ip = each.key().address() == service.cluster_ips[0];
        const bool is_local = is_cluster_ip ? service.is_internal_local : service.is_external_local;
        EXPECT_EQ(each.destinations().empty(), is_local) << test.title << ": " << Describe(each);
        EXPECT_EQ(each.no_destination(), is_local ? v1::SILENCE : v1::ICMP_UNREACHABLE);
      }
    }
  }
  EXPECT_EQ(cases, 3);
}

// Any order of events leads to the same, and what comes twice changes nothing.
TEST(ConformanceTest, AnyOrderOfEvents) {
  std::minstd_rand random(7);
  for (const Case& test : ReadCases()) {
    const Step& step = test.steps.back();
    std::set<std::string> first;
    for (int round = 0; round < 20; ++round) {
      SCOPED_TRACE(test.title + ", round " + std::to_string(round));
      Cluster cluster;
      Program program;
      Sluiced sluiced;
      const auto look = [&] {
        Want(TranslateAll(cluster, test.policy), program);
        sluiced.Take(program);
      };
      std::vector<std::function<void()>> events;
      // Something else was there before, as an earlier step, or an endpoint that has gone.
      for (const Step& earlier : test.steps) {
        for (const SliceObject& slice : earlier.slices) cluster.Put(slice);
      }
      for (const Step& earlier : test.steps) {
        for (const SliceObject& slice : earlier.slices) {
          const bool stays = std::any_of(step.slices.begin(), step.slices.end(),
                                         [&](const SliceObject& other) { return other.name == slice.name; });
          if (!stays) events.push_back([&cluster, slice] { cluster.Delete(slice); });
        }
      }
      for (const ServiceObject& service : step.services) {
        for (int i = 0; i < 2; ++i) events.push_back([&cluster, service] { cluster.Put(service); });
      }
      for (const SliceObject& slice : step.slices) {
        for (int i = 0; i < 2; ++i) events.push_back([&cluster, slice] { cluster.Put(slice); });
      }
      std::shuffle(events.begin(), events.end(), random);
      for (const auto& event : events) {
        event();
        if (random() % 2 == 0) look();
      }
      look();
      while (!program.Draining().empty()) sluiced.Reap(program, {});
      if (round == 0) first = sluiced.Describe(false);
      EXPECT_EQ(sluiced.Describe(false), first);
      EXPECT_TRUE(program.NextChanges(1).empty()) << "everything is there";
      // As after a restart of ours: what sluiced has is what is wanted.
      Program again;
      again.Begin(sluiced.Config(), {});
      Want(TranslateAll(cluster, test.policy), again);
      EXPECT_TRUE(again.NextChanges(1).empty());
    }
  }
}

}  // namespace
}  // namespace sluice::kubernetes
