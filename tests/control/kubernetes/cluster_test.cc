// What is news, and what is not.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::kubernetes {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class ClusterTest : public testing::Test {
 protected:
  static ServiceObject Service(const std::string& name, const std::string& version,
                               const std::string& address) {
    ServiceObject service;
    service.name = {"ns1", name};
    service.version = version;
    service.cluster_ips = {address};
    return service;
  }
  static SliceObject Slice(const std::string& name, const std::string& service, const std::string& address) {
    SliceObject slice;
    slice.name = {"ns1", name};
    slice.service = service;
    slice.endpoints.emplace_back().address = address;
    return slice;
  }
  // The names of Services there is news of.
  std::vector<std::string> News() { return News(cluster_); }
  static std::vector<std::string> News(Cluster& cluster) {
    std::vector<std::string> names;
    const Cluster::News news = cluster.WaitForNews(std::chrono::steady_clock::now());
    if (news.all) names.push_back("all");
    for (const ObjectName& name : news.services) names.push_back(name.name);
    return names;
  }
  static void ListNothing(Cluster& cluster) {
    cluster.Replace(std::vector<ServiceObject>());
    cluster.Replace(std::vector<SliceObject>());
  }
  Cluster node_cluster_{"here"};
  Cluster cluster_;  // of a gateway, which waits for no Node
};

TEST_F(ClusterTest, NothingBeforeBothAreListed) {
  cluster_.Replace(std::vector{Service("a", "1", "10.0.0.1")});
  EXPECT_THAT(News(), IsEmpty());
  cluster_.Replace(std::vector{Slice("b-1", "b", "10.1.0.1")});
  EXPECT_THAT(News(), ElementsAre("a", "b"));
}

TEST_F(ClusterTest, OnlyDifferencesAreNews) {
  cluster_.Replace(std::vector{Service("a", "1", "10.0.0.1"), Service("b", "1", "10.0.0.2")});
  cluster_.Replace(std::vector{Slice("a-1", "a", "10.1.0.1")});
  News();
  cluster_.Put(Service("a", "2", "10.0.0.1"));
  cluster_.Put(Slice("a-1", "a", "10.1.0.1"));
  EXPECT_THAT(News(), IsEmpty()) << "a version is no difference";
  cluster_.Replace(std::vector{Service("b", "3", "10.0.0.3")});
  EXPECT_THAT(News(), ElementsAre("a", "b")) << "one is gone, one is another";
  cluster_.Put(Slice("a-1", "b", "10.1.0.1"));
  EXPECT_THAT(News(), ElementsAre("a", "b")) << "the slice is of another Service";
  cluster_.Delete(Slice("a-1", "", ""));
  EXPECT_THAT(News(), ElementsAre("b"));
  cluster_.Delete(Slice("a-1", "", ""));
  EXPECT_THAT(News(), IsEmpty());
}

TEST_F(ClusterTest, WhatWasNotDealtWithComesAgain) {
  cluster_.Replace(std::vector{Service("a", "1", "10.0.0.1")});
  cluster_.Replace(std::vector<SliceObject>());
  Cluster::News news = cluster_.WaitForNews(std::chrono::steady_clock::now());
  cluster_.Put(Service("b", "1", "10.0.0.2"));
  cluster_.PutBack(std::move(news));
  EXPECT_THAT(News(), ElementsAre("a", "b"));
}

TEST_F(ClusterTest, WhenItHappened) {
  cluster_.Replace(std::vector<ServiceObject>());
  cluster_.Replace(std::vector<SliceObject>());
  // Times that a slice has been given, one after the other, each with another endpoint.
  int endpoint = 0;
  const auto happened = [&](const std::string& service, absl::Time time) {
    SliceObject slice = Slice(service + "-1", service, "10.1.0." + std::to_string(++endpoint));
    slice.changed_at = absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone());
    cluster_.Put(slice);
  };
  const auto told = [&] { return cluster_.WaitForNews(std::chrono::steady_clock::now()).happened_at; };
  const auto now = [] { return absl::FromUnixNanos(absl::ToUnixNanos(absl::Now())); };
  const absl::Time t0 = now(), t1 = now(), t2 = now(), t3 = now();
  const ObjectName a = {"ns1", "a"}, b = {"ns1", "b"};
  happened("a", t0);
  EXPECT_THAT(told(), ElementsAre(Pair(a, ElementsAre(t0))));
  happened("a", t0);
  happened("a", t1);
  EXPECT_THAT(told(), ElementsAre(Pair(a, ElementsAre(t0, t1))));
  happened("a", t1);
  happened("b", t2);
  happened("a", t3);
  EXPECT_THAT(told(), ElementsAre(Pair(a, ElementsAre(t1, t3)), Pair(b, ElementsAre(t2))));
  happened("a", t0 - absl::Hours(1));
  EXPECT_THAT(told(), IsEmpty()) << "before this process began";
  happened("a", t1);
  cluster_.Delete(Slice("a-1", "a", ""));
  EXPECT_THAT(told(), IsEmpty()) << "it is gone again";
}

// Zone, addresses and pods' prefixes are unknown before, which is not the same as having none.
TEST_F(ClusterTest, NothingBeforeTheNodeIsKnown) {
  EXPECT_EQ(node_cluster_.Missing(), "Services, EndpointSlices, Node here");
  node_cluster_.Replace(std::vector{Service("a", "1", "10.0.0.1")});
  node_cluster_.Replace(std::vector{Slice("a-1", "a", "10.1.0.1")});
  EXPECT_EQ(node_cluster_.Missing(), "Node here");
  EXPECT_THAT(News(node_cluster_), IsEmpty());
  node_cluster_.Replace(std::vector<NodeObject>());
  EXPECT_THAT(News(node_cluster_), IsEmpty()) << "it is not registered yet";
  NodeObject here;
  here.name.name = "here";
  node_cluster_.Put(here);
  EXPECT_THAT(News(node_cluster_), ElementsAre("all", "a"));
  EXPECT_EQ(node_cluster_.Missing(), "");
}

TEST_F(ClusterTest, OnlyThisNode) {
  ListNothing(node_cluster_);
  NodeObject other, here;
  other.name.name = "there";
  here.name.name = "here";
  here.zone = "za";
  node_cluster_.Replace(std::vector{other});
  EXPECT_FALSE(node_cluster_.Node().has_value());
  node_cluster_.Replace(std::vector{other, here});
  EXPECT_EQ(node_cluster_.Node()->zone, "za");
  EXPECT_THAT(News(node_cluster_), ElementsAre("all"));
  node_cluster_.Put(here);
  node_cluster_.Put(other);
  EXPECT_THAT(News(node_cluster_), IsEmpty()) << "a heartbeat";
  node_cluster_.Delete(other);
  EXPECT_FALSE(node_cluster_.Node()->is_going);
  node_cluster_.Delete(here);
  EXPECT_TRUE(node_cluster_.Node()->is_going);
}

}  // namespace
}  // namespace sluice::kubernetes
