"""sluice-kube's health pages: they tell of sluiced itself, strangers cannot block them, and a successor finds their ports free."""

import json
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kubernetes"))
from common import PYTHON, main  # noqa: E402
from kube_lab import CLUSTER_IP, NODE, WEB, KubeLab, endpoint, node, service, wait_until  # noqa: E402

HEALTHZ, LIVEZ, NODE_PORT = "http://127.0.0.1:10256/healthz", "http://127.0.0.1:10256/livez", "http://127.0.0.1:32100/"
HALF_OPEN = """
import resource, socket, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
sockets = []
for port in (10256, 32100):
    for i in range(150):
        sockets.append(socket.create_connection(("127.0.0.1", port)))
        sockets[-1].send((b"", b"G", b"GET /healthz HTTP/1.1\\r\\nHost: a\\r\\n")[i % 3])
print("there", flush=True)
time.sleep(300)
"""


class KubernetesHealthTest(unittest.TestCase):
    def status(self, lab, url):
        return int(lab.inside("lb", "curl", "-s", "-m", "30", "-o", "/dev/null", "-w", "%{http_code}", url, check=False).stdout)

    def become(self, lab, code):
        for url in (HEALTHZ, NODE_PORT):
            self.assertTrue(wait_until(lambda: self.status(lab, url) == code), (url, self.status(lab, url), lab.kube_text()))

    def start(self, lab, *extra):
        lab.api.put(service("local", "10.99.0.14", WEB, type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32100))
        lab.start_web(*extra)
        lab.put_pods([endpoint(lab.pods[0])], name="local")
        self.become(lab, 200)

    def test_it_is_sluiced_that_is_asked(self):
        with KubeLab() as lab:
            self.start(lab)
            lab.sluiced.send_signal(signal.SIGSTOP)
            self.become(lab, 503)
            self.assertEqual(self.status(lab, LIVEZ), 200, "to start sluice-kube again would not help")
            lab.sluiced.send_signal(signal.SIGCONT)
            self.become(lab, 200)
            lab.sluice("drain", "--node")
            self.become(lab, 503)
            lab.sluice("drain", "--node", "--undo")
            self.become(lab, 200)
            lab.sluiced.kill()
            lab.sluiced.wait()
            self.become(lab, 503)
            body = lab.inside("lb", "curl", "-s", NODE_PORT).stdout
            self.assertEqual(json.loads(body), {"service": {"namespace": "default", "name": "local"}, "localEndpoints": 1, "serviceProxyHealthy": False})
            lab.start_sluiced()
            self.become(lab, 200)

    def test_no_sluiced_no_health(self):
        with KubeLab() as lab:
            lab.start_kube()
            self.assertTrue(wait_until(lambda: self.status(lab, HEALTHZ) != 0), lab.kube_text())
            self.assertEqual(self.status(lab, HEALTHZ), 503)

    def test_no_api_server_no_health(self):
        with KubeLab() as lab:
            lab.start_sluiced()
            lab.api.close()
            lab.start_kube()
            self.assertTrue(wait_until(lambda: lab.metric("sluice_kube_api_errors_total")), lab.kube_text())
            self.assertEqual([self.status(lab, url) for url in (HEALTHZ, LIVEZ)], [503, 200])
            lab.start_api(lab.api.port)
            lab.api.put(node(NODE, lab.back))
            lab.api.put(service("kubernetes", "10.99.0.250", {"https": (443, "TCP")}))
            self.assertTrue(wait_until(lambda: self.status(lab, HEALTHZ) == 200, 120), lab.kube_text())

    def test_half_open_connections(self):
        with KubeLab() as lab:
            self.start(lab)
            silent = lab.start("lb", PYTHON, "-c", HALF_OPEN, stdout=subprocess.PIPE, text=True)
            self.assertEqual(silent.stdout.readline(), "there\n")
            self.assertEqual([self.status(lab, url) for url in (HEALTHZ, NODE_PORT, HEALTHZ)], [200] * 3)

    def test_a_successor_finds_the_ports_free(self):
        with KubeLab() as lab:
            self.start(lab)
            old = lab.kube
            old.send_signal(signal.SIGTERM)
            self.assertTrue(wait_until(lambda: self.status(lab, HEALTHZ) == 0))
            # The old one may still end its watches.
            lab.start_kube()
            self.become(lab, 200)
            self.assertEqual(old.wait(timeout=60), 0)
            self.assertIsNone(lab.kube.poll())
            lab.api.put(service("web", CLUSTER_IP, {"http": (81, "TCP")}))
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:81"), lab.kube_text())

    def test_it_ends_though_sluiced_hangs(self):
        with KubeLab() as lab:
            self.start(lab)
            lab.sluiced.send_signal(signal.SIGSTOP)
            self.become(lab, 503)
            lab.kube.send_signal(signal.SIGTERM)
            self.assertEqual(lab.kube.wait(timeout=30), 0)  # a request to sluiced may take a minute


if __name__ == "__main__":
    main()
