// JSON a value at a time; and what is read of objects.
// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/kubernetes/objects.h"

namespace sluice::kubernetes {
namespace {

using testing::ElementsAre;

std::string ReadString(std::string_view text) {
  JsonReader json(text);
  const std::string value = json.String();
  return json.ok() && json.AtEnd() ? value : "fault: " + json.error();
}

std::string SkipFault(std::string_view text) {
  JsonReader json(text);
  json.Skip();
  if (!json.ok()) return json.error();
  return json.AtEnd() ? "" : "something follows";
}

TEST(JsonReaderTest, Strings) {
  EXPECT_EQ(ReadString(R"("plain")"), "plain");
  EXPECT_EQ(ReadString(R"(  "a\"b\\c\/d\n\t"  )"), "a\"b\\c/d\n\t");
  EXPECT_EQ(ReadString(R"("\u0041\u00e4\u20ac\ud83d\ude00")"), "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
  for (const char* wrong :
       {"\"\xff\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", R"("\ud800")"})
    EXPECT_THAT(ReadString(wrong), testing::HasSubstr("a string is not UTF-8")) << wrong;
  EXPECT_EQ(ReadString("null"), "");
  EXPECT_EQ(ReadString(R"("open)"), "fault: byte 5: a string does not end");
  EXPECT_EQ(ReadString(R"("\x")"), "fault: byte 3: an unknown escape");
  EXPECT_EQ(ReadString(R"("\u12g4")"), "fault: byte 3: four hexadecimal digits are wanted");
  EXPECT_EQ(ReadString("17"), "fault: byte 0: a string is wanted");
}

TEST(JsonReaderTest, Numbers) {
  const auto number = [](std::string_view text) {
    JsonReader json(text);
    const int64_t value = json.Integer();
    return json.ok() ? std::to_string(value) : json.error();
  };
  EXPECT_EQ(number("17"), "17");
  EXPECT_EQ(number("-3"), "-3");
  EXPECT_EQ(number("null"), "0");
  EXPECT_EQ(number("1.5"), "byte 0: a whole number is wanted");
  EXPECT_EQ(number("\"1\""), "byte 0: a whole number is wanted");
  EXPECT_EQ(number("99999999999999999999"), "byte 0: a whole number is wanted");
}

TEST(JsonReaderTest, WhatIsNotWantedIsSkipped) {
  JsonReader json(R"({"a": {"x": [1, 2.5e3, {"y": null}]}, "b" : [true,false] , "c": "found"})");
  std::string found;
  std::vector<std::string> keys;
  json.Object([&](std::string_view key) {
    keys.emplace_back(key);
    if (key == "c") {
      found = json.String();
    } else {
      json.Skip();
    }
  });
  EXPECT_TRUE(json.ok()) << json.error();
  EXPECT_EQ(found, "found");
  EXPECT_THAT(keys, ElementsAre("a", "b", "c"));
}

TEST(JsonReaderTest, Faults) {
  EXPECT_EQ(SkipFault("{}"), "");
  EXPECT_EQ(SkipFault("[]"), "");
  EXPECT_EQ(SkipFault("{\"a\":1,}"), "byte 7: a string is wanted");
  EXPECT_EQ(SkipFault("{\"a\" 1}"), "byte 5: a sign is missing before it");
  EXPECT_EQ(SkipFault("[1 2]"), "byte 3: a comma or the end is wanted");
  EXPECT_EQ(SkipFault("["), "byte 1: a value is wanted");
  EXPECT_EQ(SkipFault("nil"), "byte 0: a value is wanted");
  EXPECT_EQ(SkipFault("inf"), "byte 0: a value is wanted");
  EXPECT_EQ(SkipFault(""), "byte 0: a value is wanted");
  EXPECT_EQ(SkipFault("{} x"), "something follows");
  EXPECT_EQ(SkipFault(std::string(200, '[')), "byte 100: it is nested too deeply");
}

// Cut anywhere, a document is a fault, and nothing is read beyond its end.
TEST(JsonReaderTest, CutAnywhere) {
  const std::string text = R"({"metadata":{"name":"a\u0041","x":[1.5,-2,true,null,{"y":"z"}]},"n":12})";
  for (size_t length = 0; length < text.size(); ++length) {
    const std::string part(text.data(), length);
    EXPECT_NE(SkipFault(part), "") << part;
  }
  EXPECT_EQ(SkipFault(text), "");
}

TEST(JsonReaderTest, ElementsHaveALimit) {
  const auto read = [](int elements) {
    std::string text = "[[0]";
    for (int i = 2; i < elements; ++i) text += ",0";
    text += "]";
    JsonReader json(text);
    json.Skip();
    EXPECT_EQ(json.elements(), static_cast<size_t>(elements));
    return json.ok() && json.AtEnd();
  };
  EXPECT_TRUE(read(100'000));
  EXPECT_FALSE(read(100'001));
}

TEST(ObjectsTest, AService) {
  ServiceObject service;
  JsonReader json(
      R"({"kind":"Service","metadata":{"name":"web","namespace":"demo","uid":"u","resourceVersion":"216",
    "labels":{"app":"x"},"annotations":{"lb.sluice/scheduler":"wlc","other":"y"},"managedFields":[{"f":{"g":{}}}]},
    "spec":{"ports":[{"name":"http","protocol":"TCP","port":80,"targetPort":8080,"nodePort":32313},{"port":53,"protocol":"UDP"}],
    "clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1","fd00::1"],"type":"LoadBalancer","sessionAffinity":"ClientIP",
    "externalTrafficPolicy":"Local","healthCheckNodePort":32253,"sessionAffinityConfig":{"clientIP":{"timeoutSeconds":600}},
    "internalTrafficPolicy":"Cluster","loadBalancerSourceRanges":[" 10.0.0.0/8"]},
    "status":{"loadBalancer":{"ingress":[{"ip":"198.51.100.7","ipMode":"VIP"},{"ip":"198.51.100.8","ipMode":"Proxy"},
    {"hostname":"h"},{"ip":"198.51.100.9"}]}}})");
  Read(json, service);
  ASSERT_TRUE(json.ok()) << json.error();
  EXPECT_EQ(service.name.ToString(), "demo/web");
  EXPECT_EQ(service.version, "216");
  EXPECT_THAT(service.cluster_ips, ElementsAre("10.96.0.1", "fd00::1"));
  ASSERT_EQ(service.ports.size(), 2u);
  EXPECT_EQ(service.ports[0].node_port, 32313u);
  EXPECT_EQ(service.ports[1].protocol, v1::UDP);
  EXPECT_EQ(service.affinity_seconds, 600u);
  EXPECT_TRUE(service.is_external_local);
  EXPECT_FALSE(service.is_internal_local);
  EXPECT_EQ(service.health_check_port, 32253u);
  EXPECT_THAT(service.load_balancer_ips, ElementsAre("198.51.100.7", "198.51.100.9"));
  EXPECT_THAT(service.annotations, ElementsAre(testing::Pair("scheduler", "wlc")));
}

TEST(ObjectsTest, ASliceWhoseConditionsAreAbsent) {
  SliceObject slice;
  JsonReader json(
      R"({"metadata":{"name":"web-1","namespace":"demo","labels":{"kubernetes.io/service-name":"web"},
    "annotations":{"endpoints.kubernetes.io/last-change-trigger-time":"2026-11-21T00:34:01Z"}},"addressType":"IPv4",
    "endpoints":[{"addresses":["10.1.0.1","10.1.0.2"],"targetRef":{"kind":"Pod","name":"web-x"}},
    {"addresses":["10.1.0.3"],"conditions":{"ready":false,"serving":null,"terminating":true},"nodeName":"n"}],
    "ports":[{"name":null,"port":1},{"name":"","port":null},{"port":8080}]})");
  Read(json, slice);
  ASSERT_TRUE(json.ok()) << json.error();
  ASSERT_EQ(slice.endpoints.size(), 2u);
  EXPECT_EQ(slice.endpoints[0].address, "10.1.0.1");
  EXPECT_EQ(slice.endpoints[0].pod, "web-x");
  EXPECT_TRUE(slice.endpoints[0].is_ready && slice.endpoints[0].is_serving &&
              !slice.endpoints[0].is_terminating);
  EXPECT_TRUE(!slice.endpoints[1].is_ready && slice.endpoints[1].is_serving &&
              slice.endpoints[1].is_terminating);
  ASSERT_EQ(slice.ports.size(), 1u);
  EXPECT_EQ(slice.ports[0].port, 8080u);
  EXPECT_EQ(slice.changed_at, "2026-11-21T00:34:01Z");
}

TEST(ObjectsTest, ANode) {
  NodeObject node;
  JsonReader json(R"({"metadata":{"name":"n","labels":{"topology.kubernetes.io/zone":"za"}},
    "spec":{"taints":[{"key":"ToBeDeletedByClusterAutoscaler","effect":"NoSchedule"}]},
    "status":{"addresses":[{"type":"ExternalIP","address":"203.0.113.1"},{"type":"Hostname","address":"n"},
    {"type":"InternalIP","address":"192.168.1.10"}]}})");
  Read(json, node);
  ASSERT_TRUE(json.ok()) << json.error();
  EXPECT_EQ(node.zone, "za");
  EXPECT_TRUE(node.is_going);
  EXPECT_THAT(node.addresses, ElementsAre("192.168.1.10", "203.0.113.1"));
}

TEST(ObjectsTest, AnEvent) {
  const auto added = ReadEvent<ServiceObject>(
      R"({"object":{"metadata":{"name":"a","resourceVersion":"9"}},"type":"ADDED"})");
  ASSERT_TRUE(added.ok());
  EXPECT_EQ(added->type + " " + added->object.name.name + " " + added->object.version, "ADDED a 9");
  const auto expired = ReadEvent<ServiceObject>(
      R"({"type":"ERROR","object":{"kind":"Status","message":"too old","reason":"Expired","code":410}})");
  EXPECT_EQ(expired->status.code, 410);
  const auto future = ReadEvent<ServiceObject>(
      R"({"type":"ERROR","object":{"code":504,"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}})");
  EXPECT_TRUE(future->status.is_too_large);
  EXPECT_FALSE(ReadEvent<ServiceObject>(R"({"type":"ADDED","object":{"metadata":)").ok());
}

}  // namespace
}  // namespace sluice::kubernetes
