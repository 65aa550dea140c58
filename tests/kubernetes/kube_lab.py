"""The lab with a cluster in it: a stand-in API server and sluice-kube beside sluiced on the balancer, pods as real servers."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))
sys.path.insert(0, str(HERE))
from api_server import ApiServer  # noqa: E402, F401
from lab import Lab, in_namespace, run, wait_until  # noqa: E402, F401
from objects import endpoint, endpoint_slice, node, service  # noqa: E402, F401

CLUSTER_IP = "10.99.0.10"
NODE = "node-1"
WEB = {"http": (80, "TCP")}


class KubeLab(Lab):
    """`pods`: their addresses, the first on this node."""

    def __enter__(self):
        super().__enter__()
        try:
            self.api = None
            self.kube = None
            self.kube_log = self.folder / "sluice-kube.log"
            self.pods = [self.server_address(i) for i in range(self.servers)]
            self.start_api()
            # What every cluster has.
            self.api.put(service("kubernetes", "10.99.0.250", {"https": (443, "TCP")}))
            self.api.put(endpoint_slice("kubernetes", [endpoint("10.65.0.1", node="")], {"https": (6443, "TCP")}))
            self.api.put(node(NODE, self.back))
        except BaseException:
            self.close()
            raise
        return self

    def close(self):
        if getattr(self, "api", None):
            self.api.close()
        # Nothing is left to do for it: its network and its sluiced go, too.
        if getattr(self, "kube", None) and self.kube.poll() is None:
            self.kube.kill()
        super().close()

    def start_api(self, port=0, **options):
        self.api = in_namespace(self.ns("lb"), lambda: ApiServer(port, **options))
        self.api.__enter__()

    def speak_tls(self):
        """The API server is another now, with TLS and the same objects."""
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
            "-days", "2", "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1")
        kept = self.api
        self.start_api(certificate=certificate, key=key)
        self.api.items, self.api.version = kept.items, kept.version
        kept.close()
        return key, certificate

    def start_kube(self, *extra, ca=None):
        self.api.kubeconfig(self.folder / "kubeconfig", ca=ca)
        with open(self.kube_log, "a", encoding="utf8") as log:
            self.kube = self.start("lb", self.build / "bin/sluice-kube", "--kubeconfig", self.folder / "kubeconfig", "--sluiced", self.socket,
                                   "--node-name", NODE, "--masquerade-address", self.back, *extra, stdout=log, stderr=log)

    def stop_kube(self, signal=9):
        self.kube.send_signal(signal)
        self.kube.wait(timeout=60)

    def put_pods(self, endpoints, name="web", port=80, port_name="http"):
        self.api.put(endpoint_slice(name, endpoints, {port_name: (port, "TCP")}))

    def rules(self):
        return self.adm("-S -n").stdout

    def has(self, rule):
        return wait_until(lambda: rule in self.rules())

    def get(self, url, name="client", source=None, timeout=30):
        interface = ["--interface", source] if source else []
        return self.inside(name, "curl", "-s", "-g", "--max-time", timeout, *interface, url, check=False).stdout.strip()

    def metric(self, name):
        page = self.inside("lb", "curl", "-s", "http://127.0.0.1:10249/metrics", check=False).stdout
        return next((float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"{name} ")), None)

    def kube_text(self):
        return self.kube_log.read_text(encoding="utf8", errors="replace")

    def start_web(self, *extra, pods=None):
        """A Service `web` with all pods, served."""
        for i, address in enumerate(self.pods):
            self.start_http(f"server{i}", address, 80, f"server {i} $remote_addr", wait=False)
        for i in range(self.servers):
            self.wait_for_listener(f"server{i}", 80)
        self.start_sluiced()
        self.api.put(service("web", CLUSTER_IP, WEB))
        self.put_pods(pods or [endpoint(self.pods[0])] + [endpoint(pod, node="other") for pod in self.pods[1:]])
        self.start_kube(*extra)
        if not self.has(f"-a -t {CLUSTER_IP}:80 -r {self.pods[-1]}:80"):
            raise RuntimeError(self.kube_text())
