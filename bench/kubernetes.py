"""A synthetic cluster: how long until sluiced has all of it, one change of it, and a thousand changes a second; beside the
time that the kernel's own tools take for kube-proxy's rules of the same cluster."""

import argparse
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import rules
from forward import ROOT

sys.path.insert(0, str(ROOT / "tests/kubernetes"))
from kube_lab import NODE, KubeLab, endpoint, endpoint_slice, in_namespace, node, service, wait_until  # noqa: E402

PORTS = {"http": (80, "TCP")}


def cluster_ip(number):
    return f"10.100.{number // 256}.{number % 256}"


def pod(place):
    return f"10.{128 + place // 65536}.{place // 256 % 256}.{place % 256}"


def slice_of(number, endpoints, moved=0):
    """With the first endpoint somewhere else for each `moved`."""
    addresses = [pod(number * endpoints + i) for i in range(endpoints)]
    if moved:
        addresses[0] = f"10.250.{moved // 250 % 250}.{moved % 250 + 1}"
    return endpoint_slice(f"service-{number}", [endpoint(address, node="other") for address in addresses], PORTS)


class Cluster:
    """An API server whose answers are ready before they are asked for: nothing of it is measured."""

    PAGE = 500

    def __init__(self, services, endpoints):
        self.version = 1000
        self.pages = {
            "/api/v1/services": self.pages_of("Service", [service("kubernetes", "10.99.0.250", PORTS)] + [
                service(f"service-{i}", cluster_ip(i), PORTS) for i in range(services)]),
            "/apis/discovery.k8s.io/v1/endpointslices": self.pages_of("EndpointSlice", [
                slice_of(i, endpoints) for i in range(services)]),
            "/api/v1/nodes": self.pages_of("Node", [node(NODE, "10.65.0.1")]),
        }
        self.watchers = []
        self.lock = threading.Lock()
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                url = urlsplit(self.path)
                query = parse_qs(url.query)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                if "watch" in query:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    if url.path.endswith("endpointslices"):
                        with cluster.lock:
                            cluster.watchers.append(self.wfile)
                    threading.Event().wait(3600)
                body = cluster.pages[url.path][int(query.get("continue", ["0"])[0])]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.http = Server(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def pages_of(self, kind, items):
        pages = []
        for first in range(0, max(1, len(items)), self.PAGE):
            meta = {"resourceVersion": "1000"}
            if first + self.PAGE < len(items):
                meta["continue"] = str(len(pages) + 1)
            pages.append(json.dumps({"kind": f"{kind}List", "metadata": meta, "items": items[first:first + self.PAGE]}).encode())
        return pages

    def bytes(self):
        return sum(len(page) for pages in self.pages.values() for page in pages)

    def tell(self, item):
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        line = json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n"
        for watcher in self.watchers:
            watcher.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            watcher.flush()


def megabytes(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def measure(services, endpoints, seconds):
    with KubeLab(heartbeat_limit_ms=None) as lab:
        cluster = in_namespace(lab.ns("lb"), lambda: Cluster(services, endpoints))
        lab.start_sluiced("--connections", "1048576")
        config = json.loads(Path(lab.api.kubeconfig(lab.folder / "kubeconfig")).read_text())
        config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{cluster.port}"
        (lab.folder / "kubeconfig").write_text(json.dumps(config))
        log = open(lab.kube_log, "a", encoding="utf8")
        begin = time.time()
        lab.kube = lab.start("lb", lab.build / "bin/sluice-kube", "--kubeconfig", lab.folder / "kubeconfig", "--sluiced", lab.socket,
                             "--node-name", NODE, stdout=log, stderr=log)
        if not wait_until(lambda: (lab.metric("sluice_kube_virtual_services") or 0) > services, 120, every=0.2):
            raise RuntimeError(lab.kube_text())
        loaded = lab.metric("kubeproxy_sync_proxy_rules_last_timestamp_seconds") - begin
        # ip netns exec has become it.
        pid = lab.kube.pid
        result = {"services": services, "endpoints": services * endpoints, "megabytes_of_json": round(cluster.bytes() / 1e6, 1),
                  "list_to_programmed_seconds": round(loaded, 2), "megabytes": round(megabytes(pid))}
        watch = lab.start("lb", lab.build / "bin/sluice", "watch", stdout=subprocess.PIPE, text=True,
                          env={"SLUICE_SERVER": lab.socket, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        seen = {}

        def read():
            for line in watch.stdout:
                if match := re.search(r"TCP (10\.100\.\d+\.\d+):80", line):
                    seen[match[1]] = time.monotonic()

        threading.Thread(target=read, daemon=True).start()
        time.sleep(1)
        waits = []
        for i in range(60):
            number = i * 7 % services
            told = time.monotonic()
            cluster.tell(slice_of(number, endpoints, moved=i + 1))
            if not wait_until(lambda: seen.get(cluster_ip(number), 0) > told, 10, every=0.001):
                raise RuntimeError("a change did not come through")
            waits.append((seen[cluster_ip(number)] - told) * 1000)
            time.sleep(0.05)
        waits.sort()
        result["change_ms"] = round(statistics.median(waits), 1)
        result["change_ms_of_95_in_100"] = round(waits[len(waits) * 95 // 100], 1)
        # A thousand a second.
        count = 0
        begin = time.monotonic()
        late = []
        while time.monotonic() - begin < seconds:
            number = count % services
            told = time.monotonic()
            cluster.tell(slice_of(number, endpoints, moved=count + 1000))
            count += 1
            if count % 500 == 0:
                late.append((number, told))
            time.sleep(max(0, begin + count / 1000 - time.monotonic()))
        took = time.monotonic() - begin
        number, told = (count - 1) % services, time.monotonic()
        if not wait_until(lambda: seen.get(cluster_ip(number), 0) > told - 0.001, 30, every=0.001):
            raise RuntimeError("the last of many changes did not come through")
        result["changes_a_second"] = round(count / took)
        result["last_of_many_ms"] = round((seen[cluster_ip(number)] - told) * 1000, 1)
        result["megabytes_after"] = round(megabytes(pid))
        log.close()
        return result


def measure_tools(services, endpoints):
    """Seconds of the kernel's tools for the same cluster, TCP only as here."""
    rules.PROTOCOLS = ("tcp",)
    all_services = [(i, cluster_ip(i), [pod(i * endpoints + place) for place in range(endpoints)]) for i in range(services)]
    times = {}
    with KubeLab(heartbeat_limit_ms=None) as lab:
        for backend in ("nft", "legacy"):
            text = rules.iptables(all_services)
            begin = time.monotonic()
            lab.inside("lb", f"iptables-{backend}-restore", input=text, timeout=900)
            times[f"iptables-{backend}-restore"] = round(time.monotonic() - begin, 1)
            lab.inside("lb", f"iptables-{backend}", "-t", "nat", "-F", timeout=900)
            lab.inside("lb", f"iptables-{backend}", "-t", "nat", "-X", timeout=900)
        begin = time.monotonic()
        lab.inside("lb", "nft", "-f", "-", input=rules.nftables_frame())
        for first in range(0, services, 500):
            lab.inside("lb", "nft", "-f", "-", input=rules.nftables(all_services[first:first + 500]), timeout=900)
        times["nft -f (in pieces of 500 services)"] = round(time.monotonic() - begin, 1)
    times["in an emulated machine, which is many times slower"] = guest_times()
    return times


def guest_times():
    """Seconds until a booted kernel's IPVS has as many services and real servers: by Sluice's mirror, and by ipvsadm -R."""
    told = subprocess.run(["python3", "-B", ROOT / "tests/handover/run", "speed"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"mirrored in ([\d.]+) s, ipvsadm -R ([\d.]+) s", told)
    return {"the mirror": float(found[1]), "ipvsadm -R": float(found[2])} if found else "nothing: no kernel to boot"


def main(arguments):
    options = argparse.ArgumentParser(prog="bench/run kubernetes", description=__doc__)
    options.add_argument("--services", type=int, default=10_000)
    options.add_argument("--endpoints", type=int, default=10, help="of each Service")
    options.add_argument("--seconds", type=float, default=10, help="of a thousand changes a second")
    options.add_argument("--without-tools", action="store_true", help="not iptables and nft, which take minutes")
    options.add_argument("--quick", action="store_true")
    options = options.parse_args(arguments)
    if options.quick:
        options.services, options.seconds, options.without_tools = 200, 1, True
    result = measure(options.services, options.endpoints, options.seconds)
    if not options.without_tools:
        result["tools_seconds"] = measure_tools(options.services, options.endpoints)
    print(json.dumps(result, indent=2))
    return 0
