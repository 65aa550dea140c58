"""Kubernetes' objects as controllers and people write them."""

from datetime import datetime, timezone


def service(name, cluster_ip, ports, namespace="default", **spec):
    """`ports`: {"http": (80, "TCP")}."""
    annotations = spec.pop("annotations", {})
    status_of = spec.pop("status", {})
    cluster_ips = [cluster_ip] if isinstance(cluster_ip, str) else cluster_ip
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {"type": "ClusterIP", "clusterIP": cluster_ips[0], "clusterIPs": cluster_ips, "sessionAffinity": "None",
                     "ports": [dict({"name": port_name, "port": port, "protocol": protocol}, **extra)
                               for port_name, (port, protocol, *more) in ports.items() for extra in (more or [{}])], **spec},
            "status": status_of}


def endpoint(address, node="node-1", **conditions):
    return {"addresses": [address], "nodeName": node, "targetRef": {"kind": "Pod", "name": f"pod-{address.replace('.', '-')}"},
            "conditions": dict({"ready": True, "serving": True, "terminating": False}, **conditions)}


def endpoint_slice(service_name, endpoints, ports, namespace="default", name=None, family="IPv4"):
    """`ports`: {"http": (8080, "TCP")}."""
    return {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": name or f"{service_name}-1", "namespace": namespace,
                         "labels": {"kubernetes.io/service-name": service_name},
                         "annotations": {"endpoints.kubernetes.io/last-change-trigger-time":
                                         datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}},
            "addressType": family, "endpoints": endpoints,
            "ports": [{"name": port_name, "port": port, "protocol": protocol} for port_name, (port, protocol) in ports.items()]}


def node(name, address, zone="za"):
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
            "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}}
