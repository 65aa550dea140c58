// What is read of the API server's objects.
// Threads: values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "control/kubernetes/json_reader.h"
#include "sluice/v1/config.pb.h"

namespace sluice::kubernetes {

// Annotations of Services that are Sluice's own begin so.
inline constexpr std::string_view kAnnotationPrefix = "lb.sluice/";

struct ObjectName {
  std::string name_space;
  std::string name;

  std::string ToString() const { return name_space + "/" + name; }
  friend auto operator<=>(const ObjectName&, const ObjectName&) = default;
};

struct ServicePort {
  std::string name;
  v1::Protocol protocol = v1::TCP;
  uint32_t port = 0;
  uint32_t node_port = 0;  // 0: none
  friend bool operator==(const ServicePort&, const ServicePort&) = default;
};

struct ServiceObject {
  ObjectName name;
  std::string uid;
  std::string version;
  bool is_of_another_proxy = false;
  std::string type = "ClusterIP";
  std::vector<std::string> cluster_ips;
  std::vector<ServicePort> ports;
  std::vector<std::string> external_ips;
  std::vector<std::string> load_balancer_ips;  // whose mode is VIP
  std::vector<std::string> source_ranges;
  uint32_t affinity_seconds = 0;  // 0: none
  bool is_internal_local = false;
  bool is_external_local = false;
  uint32_t health_check_port = 0;
  std::map<std::string, std::string> annotations;  // without the prefix
  int64_t created = 0;                             // seconds since 1970; 0: nobody said

  friend bool operator==(const ServiceObject&, const ServiceObject&) = default;
};

struct EndpointObject {
  std::string address;
  std::string node;
  std::string pod;
  std::vector<std::string> zones;  // it is hinted for
  std::vector<std::string> nodes;  // it is hinted for
  bool is_ready = true;
  bool is_serving = true;
  bool is_terminating = false;

  friend bool operator==(const EndpointObject&, const EndpointObject&) = default;
};

struct EndpointPort {
  std::string name;
  v1::Protocol protocol = v1::TCP;
  uint32_t port = 0;
  friend bool operator==(const EndpointPort&, const EndpointPort&) = default;
};

struct SliceObject {
  ObjectName name;
  std::string version;
  std::string service;  // of the same namespace; empty: none
  bool is_v6 = false;
  bool has_addresses = true;  // false: names
  std::vector<EndpointObject> endpoints;
  std::vector<EndpointPort> ports;
  std::string changed_at;  // what it is about happened then

  friend bool operator==(const SliceObject&, const SliceObject&) = default;
};

struct NodeObject {
  ObjectName name;
  std::string version;
  std::string zone;
  std::vector<std::string> addresses;  // the internal ones first
  std::vector<std::string> pod_cidrs;  // of the pods on it
  bool is_going = false;               // it is deleted, or about to be

  friend bool operator==(const NodeObject&, const NodeObject&) = default;
};

// Each reads one object; a fault is the reader's.
void Read(JsonReader& json, ServiceObject& service);
void Read(JsonReader& json, SliceObject& slice);
void Read(JsonReader& json, NodeObject& node);

// The API server's answer when it refuses.
struct ApiStatus {
  std::string message;
  std::string reason;
  int64_t code = 0;
  bool is_too_large = false;  // the version asked for is of the future
};
void Read(JsonReader& json, ApiStatus& status);

// What a watch tells.
template <class Object>
struct EventOf {
  std::string type;
  Object object;
  ApiStatus status;  // of type ERROR
};
template <class Object>
absl::StatusOr<EventOf<Object>> ReadEvent(std::string_view line) {
  EventOf<Object> event;
  // The type may come after the object, though no server writes it so.
  JsonReader find_type(line);
  find_type.Object([&](std::string_view key) {
    if (key == "type") {
      event.type = find_type.String();
    } else {
      find_type.Skip();
    }
  });
  JsonReader json(line);
  json.Object([&](std::string_view key) {
    if (key != "object") {
      json.Skip();
    } else if (event.type == "ERROR") {
      Read(json, event.status);
    } else {
      Read(json, event.object);
    }
  });
  if (!json.ok() || !json.AtEnd())
    return absl::DataLossError("an event of the API server's: " + json.error());
  return event;
}

// What a list, or a page of one, says of itself.
struct ListMeta {
  std::string version;
  std::string rest;  // names the next page; empty: it is the last
};
void Read(JsonReader& json, ListMeta& meta);

}  // namespace sluice::kubernetes
