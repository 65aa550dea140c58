// SPDX-License-Identifier: Apache-2.0
#include "control/kubernetes/objects.h"

#include <algorithm>

#include "absl/time/time.h"

namespace sluice::kubernetes {
namespace {

std::vector<std::string> Strings(JsonReader& json) {
  std::vector<std::string> strings;
  json.Array([&] { strings.push_back(json.String()); });
  return strings;
}

// What is no port is 0, which is none.
uint32_t Port(JsonReader& json) {
  const int64_t port = json.Integer();
  return port > 0 && port < 65536 ? static_cast<uint32_t>(port) : 0;
}

int64_t SecondsOf(const std::string& text) {
  absl::Time time;
  std::string ignored;
  return absl::ParseTime(absl::RFC3339_full, text, &time, &ignored) ? absl::ToUnixSeconds(time) : 0;
}

v1::Protocol ProtocolOf(const std::string& name) {
  if (name == "UDP") return v1::UDP;
  if (name == "SCTP") return v1::SCTP;
  return name == "TCP" || name.empty() ? v1::TCP : v1::PROTOCOL_UNSPECIFIED;
}

// Calls `field` for those of the metadata that are not common to all.
template <class Object, class Field>
void ReadMeta(JsonReader& json, Object& object, Field&& field) {
  json.Object([&](std::string_view key) {
    if (key == "name") {
      object.name.name = json.String();
    } else if (key == "namespace") {
      object.name.name_space = json.String();
    } else if (key == "resourceVersion") {
      object.version = json.String();
    } else {
      field(key);
    }
  });
}

// "[{name: ...}, ...]".
std::vector<std::string> Names(JsonReader& json) {
  std::vector<std::string> names;
  json.Array([&] {
    json.Object([&](std::string_view key) {
      if (key == "name") {
        names.push_back(json.String());
      } else {
        json.Skip();
      }
    });
  });
  return names;
}

void ReadServicePorts(JsonReader& json, std::vector<ServicePort>& ports) {
  json.Array([&] {
    ServicePort& port = ports.emplace_back();
    json.Object([&](std::string_view key) {
      if (key == "name") {
        port.name = json.String();
      } else if (key == "protocol") {
        port.protocol = ProtocolOf(json.String());
      } else if (key == "port") {
        port.port = Port(json);
      } else if (key == "nodePort") {
        port.node_port = Port(json);
      } else {
        json.Skip();
      }
    });
  });
}

struct Affinity {
  bool on = false;
  int64_t seconds = 10800;
};

void ReadAffinityConfig(JsonReader& json, Affinity& affinity) {
  json.Object([&](std::string_view key) {
    if (key != "clientIP") return json.Skip();
    json.Object([&](std::string_view of_client) {
      if (of_client == "timeoutSeconds") {
        affinity.seconds = json.Integer();
      } else {
        json.Skip();
      }
    });
  });
}

void ReadSpec(JsonReader& json, ServiceObject& service) {
  Affinity affinity;
  std::string cluster_ip;
  json.Object([&](std::string_view key) {
    if (key == "type") {
      service.type = json.String();
    } else if (key == "clusterIP") {
      cluster_ip = json.String();
    } else if (key == "clusterIPs") {
      service.cluster_ips = Strings(json);
    } else if (key == "ports") {
      ReadServicePorts(json, service.ports);
    } else if (key == "externalIPs") {
      service.external_ips = Strings(json);
    } else if (key == "loadBalancerSourceRanges") {
      service.source_ranges = Strings(json);
    } else if (key == "sessionAffinity") {
      affinity.on = json.String() == "ClientIP";
    } else if (key == "sessionAffinityConfig") {
      ReadAffinityConfig(json, affinity);
    } else if (key == "internalTrafficPolicy") {
      service.is_internal_local = json.String() == "Local";
    } else if (key == "externalTrafficPolicy") {
      service.is_external_local = json.String() == "Local";
    } else if (key == "healthCheckNodePort") {
      service.health_check_port = Port(json);
    } else {
      json.Skip();
    }
  });
  if (service.cluster_ips.empty() && !cluster_ip.empty()) service.cluster_ips.push_back(cluster_ip);
  if (affinity.on)
    service.affinity_seconds = static_cast<uint32_t>(std::clamp<int64_t>(affinity.seconds, 1, 86400));
}

void ReadIngress(JsonReader& json, ServiceObject& service) {
  json.Array([&] {
    std::string address, mode;
    json.Object([&](std::string_view key) {
      if (key == "ip") {
        address = json.String();
      } else if (key == "ipMode") {
        mode = json.String();
      } else {
        json.Skip();
      }
    });
    if (!address.empty() && mode != "Proxy") service.load_balancer_ips.push_back(address);
  });
}

// Calls `field` for the fields of the only field that is wanted.
template <class Field>
void ReadWithin(JsonReader& json, std::string_view wanted, Field&& field) {
  json.Object([&](std::string_view key) {
    if (key == wanted) {
      field();
    } else {
      json.Skip();
    }
  });
}

void ReadConditions(JsonReader& json, EndpointObject& endpoint) {
  const auto unless_null = [&](bool& value) {
    if (!json.Null()) value = json.Boolean();
  };
  json.Object([&](std::string_view key) {
    if (key == "ready") {
      unless_null(endpoint.is_ready);
    } else if (key == "serving") {
      unless_null(endpoint.is_serving);
    } else if (key == "terminating") {
      unless_null(endpoint.is_terminating);
    } else {
      json.Skip();
    }
  });
}

void ReadEndpoint(JsonReader& json, EndpointObject& endpoint) {
  json.Object([&](std::string_view key) {
    if (key == "addresses") {
      // Only the first counts.
      json.Array([&] {
        std::string address = json.String();
        if (endpoint.address.empty()) endpoint.address = std::move(address);
      });
    } else if (key == "conditions") {
      ReadConditions(json, endpoint);
    } else if (key == "nodeName") {
      endpoint.node = json.String();
    } else if (key == "targetRef") {
      ReadWithin(json, "name", [&] { endpoint.pod = json.String(); });
    } else if (key == "hints") {
      json.Object([&](std::string_view hint) {
        if (hint == "forZones") {
          endpoint.zones = Names(json);
        } else if (hint == "forNodes") {
          endpoint.nodes = Names(json);
        } else {
          json.Skip();
        }
      });
    } else {
      json.Skip();
    }
  });
}

void ReadSlicePorts(JsonReader& json, std::vector<EndpointPort>& ports) {
  json.Array([&] {
    EndpointPort port;
    bool has_name = true;
    json.Object([&](std::string_view key) {
      if (key == "name") {
        has_name = !json.Null();
        if (has_name) port.name = json.String();
      } else if (key == "protocol") {
        port.protocol = ProtocolOf(json.String());
      } else if (key == "port") {
        port.port = Port(json);
      } else {
        json.Skip();
      }
    });
    if (has_name && port.port != 0) ports.push_back(std::move(port));
  });
}

}  // namespace

void Read(JsonReader& json, ServiceObject& service) {
  json.Object([&](std::string_view key) {
    if (key == "metadata") {
      ReadMeta(json, service, [&](std::string_view field) {
        if (field == "uid") {
          service.uid = json.String();
        } else if (field == "creationTimestamp") {
          service.created = SecondsOf(json.String());
        } else if (field == "labels") {
          json.Object([&](std::string_view label) {
            service.is_of_another_proxy |= label == "service.kubernetes.io/service-proxy-name";
            json.Skip();
          });
        } else if (field == "annotations") {
          json.Object([&](std::string_view name) {
            if (!name.starts_with(kAnnotationPrefix)) return json.Skip();
            const std::string own(name.substr(kAnnotationPrefix.size()));
            service.annotations[own] = json.String();
          });
        } else {
          json.Skip();
        }
      });
    } else if (key == "spec") {
      ReadSpec(json, service);
    } else if (key == "status") {
      ReadWithin(json, "loadBalancer",
                 [&] { ReadWithin(json, "ingress", [&] { ReadIngress(json, service); }); });
    } else {
      json.Skip();
    }
  });
}

void Read(JsonReader& json, SliceObject& slice) {
  json.Object([&](std::string_view key) {
    if (key == "metadata") {
      ReadMeta(json, slice, [&](std::string_view field) {
        if (field == "labels") {
          ReadWithin(json, "kubernetes.io/service-name", [&] { slice.service = json.String(); });
        } else if (field == "annotations") {
          ReadWithin(json, "endpoints.kubernetes.io/last-change-trigger-time",
                     [&] { slice.changed_at = json.String(); });
        } else {
          json.Skip();
        }
      });
    } else if (key == "addressType") {
      const std::string type = json.String();
      slice.is_v6 = type == "IPv6";
      slice.has_addresses = slice.is_v6 || type == "IPv4";
    } else if (key == "endpoints") {
      json.Array([&] { ReadEndpoint(json, slice.endpoints.emplace_back()); });
    } else if (key == "ports") {
      ReadSlicePorts(json, slice.ports);
    } else {
      json.Skip();
    }
  });
}

void Read(JsonReader& json, NodeObject& node) {
  std::vector<std::string> external;
  json.Object([&](std::string_view key) {
    if (key == "metadata") {
      ReadMeta(json, node, [&](std::string_view field) {
        if (field == "labels") {
          ReadWithin(json, "topology.kubernetes.io/zone", [&] { node.zone = json.String(); });
        } else if (field == "deletionTimestamp") {
          node.is_going |= !json.String().empty();
        } else {
          json.Skip();
        }
      });
    } else if (key == "spec") {
      json.Object([&](std::string_view field) {
        if (field == "taints") {
          json.Array([&] {
            ReadWithin(json, "key",
                       [&] { node.is_going |= json.String() == "ToBeDeletedByClusterAutoscaler"; });
          });
        } else if (field == "podCIDRs") {
          json.Array([&] { node.pod_cidrs.push_back(json.String()); });
        } else {
          json.Skip();
        }
      });
    } else if (key == "status") {
      ReadWithin(json, "addresses", [&] {
        json.Array([&] {
          std::string type, address;
          json.Object([&](std::string_view field) {
            if (field == "type") {
              type = json.String();
            } else if (field == "address") {
              address = json.String();
            } else {
              json.Skip();
            }
          });
          if (type == "InternalIP") node.addresses.push_back(address);
          if (type == "ExternalIP") external.push_back(address);
        });
      });
    } else {
      json.Skip();
    }
  });
  node.addresses.insert(node.addresses.end(), external.begin(), external.end());
}

void Read(JsonReader& json, ApiStatus& status) {
  json.Object([&](std::string_view key) {
    if (key == "message") {
      status.message = json.String();
    } else if (key == "reason") {
      status.reason = json.String();
    } else if (key == "code") {
      status.code = json.Integer();
    } else if (key == "details") {
      ReadWithin(json, "causes", [&] {
        json.Array([&] {
          ReadWithin(json, "reason",
                     [&] { status.is_too_large |= json.String() == "ResourceVersionTooLarge"; });
        });
      });
    } else {
      json.Skip();
    }
  });
}

void Read(JsonReader& json, ListMeta& meta) {
  json.Object([&](std::string_view key) {
    if (key == "resourceVersion") {
      meta.version = json.String();
    } else if (key == "continue") {
      meta.rest = json.String();
    } else {
      json.Skip();
    }
  });
}

}  // namespace sluice::kubernetes
