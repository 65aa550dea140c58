"""A cluster's Services, from a stand-in API server by sluice-kube to sluiced, with real clients and servers."""

import json
import os
import socket
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kubernetes"))
from common import CLIENT, Load, ask_udp, main, start_udp_servers  # noqa: E402
from kube_lab import CLUSTER_IP, WEB, KubeLab, endpoint, endpoint_slice, in_namespace, run, service, wait_until  # noqa: E402


class KubernetesTest(unittest.TestCase):
    def who(self, lab, url, times=9, source=None):
        return {lab.get(url, source=source) for _ in range(times)}

    def test_every_frontend(self):
        with KubeLab() as lab:
            lab.start_web()
            self.assertIn("Using sluice proxier: scheduler rr", lab.kube_text())
            self.assertIn("the kernel's IPVS does not have its services: --kernel-ipvs=off", lab.kube_text())
            # A cluster address keeps the client's address; the three take turns.
            self.assertEqual(self.who(lab, f"http://{CLUSTER_IP}/"), {f"server {i} {CLIENT}" for i in range(3)})
            # A node port with policy Cluster is masqueraded, with Local it is not, and stays on this node.
            lab.api.put(service("web", CLUSTER_IP, {"http": (80, "TCP", {"nodePort": 30080})}, type="NodePort"))
            self.assertTrue(lab.has(f"-A -t {lab.front}:30080"))
            self.assertEqual(self.who(lab, f"http://{lab.front}:30080/"), {f"server {i} {lab.back}" for i in range(3)})
            lab.api.put(service("web", CLUSTER_IP, {"http": (80, "TCP", {"nodePort": 30080})}, type="NodePort", externalTrafficPolicy="Local"))
            self.assertTrue(wait_until(lambda: self.who(lab, f"http://{lab.front}:30080/", 3) == {f"server 0 {CLIENT}"}))
            # A load balancer's address for some clients only, and with a health check port.
            lab.ip("client", "addr", "add", "10.64.0.77/24", "dev", "eth0")
            lab.api.put(service("web", CLUSTER_IP, WEB, type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=32100,
                                loadBalancerSourceRanges=["10.64.0.77/32"], status={"loadBalancer": {"ingress": [{"ip": "10.99.0.20"}]}}))
            self.assertTrue(lab.has("-A -t 10.99.0.20:80"))
            self.assertEqual(lab.get("http://10.99.0.20/", timeout=1), "")
            self.assertEqual(lab.get("http://10.99.0.20/", source="10.64.0.77"), "server 0 10.64.0.77")
            self.assertNotIn("30080", lab.rules())
            health = json.loads(lab.inside("lb", "curl", "-s", "http://127.0.0.1:32100/").stdout)
            self.assertEqual(health, {"service": {"namespace": "default", "name": "web"}, "localEndpoints": 1, "serviceProxyHealthy": True})
            # Clients that stay with their server.
            lab.api.put(service("web", CLUSTER_IP, WEB, sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 600}}))
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:80 -s rr -p 600"))
            self.assertEqual(len(self.who(lab, f"http://{CLUSTER_IP}/")), 1)
            # What is gone is gone, and refused at once.
            lab.api.delete("EndpointSlice", "default", "web-1")
            self.assertTrue(wait_until(lambda: " -w 1" not in lab.adm(f"-S -n").stdout.replace(f"{lab.back}:6443 -m -w 1", "")))
            refused = lab.inside("client", "curl", "-s", "--max-time", "30", f"http://{CLUSTER_IP}/", check=False)
            self.assertEqual((refused.returncode, refused.stdout), (7, ""), "refused, not silent")
            lab.api.delete("Service", "default", "web")
            self.assertTrue(wait_until(lambda: CLUSTER_IP + ":80" not in lab.rules()))
            self.assertIn("10.99.0.250:443", lab.rules())

    def is_at_work(self, lab, pod):
        lines = lab.adm("-L -n -c").stdout.splitlines()
        return any(f" {pod}:80" in line and (" SYN_RECV " in line or " ESTABLISHED " in line) for line in lines)

    def test_rollouts_under_load(self):
        with KubeLab() as lab:
            lab.start_web("--ipvs-scheduler=lc")
            lab.vip = CLUSTER_IP
            with Load(lab) as load:
                for round_ in range(8):
                    leaving = lab.pods[round_ % 3]
                    rule = f"-a -t {CLUSTER_IP}:80 -r {leaving}:80 "
                    stays = [endpoint(pod) for pod in lab.pods if pod != leaving]
                    lab.put_pods(stays + [endpoint(leaving, ready=False, serving=True, terminating=True)])
                    self.assertTrue(lab.has(f"{rule}-m -w 0"))
                    # A pod ends when its open requests are done, and gets no new ones.
                    self.assertTrue(wait_until(lambda: not self.is_at_work(lab, leaving)))
                    time.sleep(0.1)
                    lab.put_pods(stays)
                    self.assertTrue(wait_until(lambda: rule not in lab.rules()))
                    # Some traffic for each state; from the third nothing can be seen but that it changes nothing.
                    time.sleep(0.1)
                    lab.put_pods(stays + [endpoint(leaving, ready=False, serving=False)])
                    time.sleep(0.3)
                    lab.put_pods([endpoint(pod) for pod in lab.pods])
                    self.assertTrue(lab.has(f"{rule}-m -w 1"))
                    time.sleep(0.1)
            self.assertEqual(load.result["failures"], {})
            self.assertGreater(sum(load.result["answers"].values()), 200)
            self.assertEqual(len(load.result["answers"]), 3)

    def test_the_grace_period_of_a_pod(self):
        with KubeLab() as lab:
            first, second, third = lab.pods
            lab.start_web(pods=[endpoint(third)])
            hold = lambda: in_namespace(lab.ns("client"), lambda: socket.create_connection((CLUSTER_IP, 80), 30))
            with hold():
                lab.put_pods([endpoint(first), endpoint(third, ready=False, terminating=True)])
                self.assertTrue(lab.has(f"-r {third}:80 -m -w 0"), lab.rules())
                time.sleep(1)
                self.assertIn(f"-r {third}:80 -m -w 0", lab.rules(), "there is a connection")
                lab.put_pods([endpoint(first)])
                self.assertTrue(wait_until(lambda: third not in lab.rules()), "its pod has ended")
            # One that leaves for another reason keeps its connections.
            with hold():
                lab.put_pods([endpoint(second)])
                self.assertTrue(lab.has(f"-r {first}:80 -m -w 0"), lab.rules())
                # sluice-kube looks every five seconds for who has no connections left.
                time.sleep(6)
                self.assertIn(f"-r {first}:80 -m -w 0", lab.rules())

    def test_draining(self):
        with KubeLab() as lab:
            lab.start_web(pods=[endpoint("10.65.0.11"), endpoint("10.65.0.12"), endpoint("10.65.0.13")])
            talk = lab.connect("client", CLUSTER_IP, 80)
            lab.put_pods([])
            self.assertTrue(wait_until(lambda: lab.rules().count(f"-a -t {CLUSTER_IP}:80") == 1), lab.rules())
            self.assertIn(":80 -m -w 0", lab.rules())
            talk.close()
            self.assertIn("-w 0", lab.rules(), "it is closing yet")

    def test_udp_goes_elsewhere_at_once(self):
        with KubeLab() as lab:
            start_udp_servers(lab, 53)
            lab.start_sluiced()
            lab.api.put(service("dns", CLUSTER_IP, {"dns": (53, "UDP")}))
            lab.api.put(endpoint_slice("dns", [endpoint(pod) for pod in lab.pods], {"dns": (53, "UDP")}))
            lab.start_kube()
            self.assertTrue(lab.has(f"-a -u {CLUSTER_IP}:53 -r {lab.pods[2]}:53"), lab.kube_text())

            def ask():
                return ask_udp(lab, CLUSTER_IP, 53, 30)

            self.assertEqual(ask(), {f"server {i}": 10 for i in range(3)})
            lab.api.put(endpoint_slice("dns", [endpoint(pod) for pod in lab.pods[1:]], {"dns": (53, "UDP")}))
            self.assertTrue(wait_until(lambda: f"{lab.pods[0]}:53" not in lab.rules()), "no weight 0: it is gone")
            answers = ask()  # from the same ports, so that these are the same flows
            self.assertEqual((answers.get("server 0", 0), answers.get("nobody", 0), sum(answers.values())), (0, 0, 30), answers)

    def test_annotations_and_what_is_others(self):
        with KubeLab() as lab:
            lab.ip("lb", "addr", "add", "10.99.0.53/32", "dev", "lo")  # a cache of the cluster's DNS
            lab.start_web()
            lab.api.put(service("kube-dns", "10.99.0.53", {"dns": (53, "UDP")}, namespace="kube-system"))
            lab.api.put(service("web", CLUSTER_IP, WEB, annotations={"lb.sluice/scheduler": "wlc", "lb.sluice/drain": "soon"}))
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:80 -s wlc"))
            self.assertNotIn("10.99.0.53", lab.rules())
            self.assertTrue(wait_until(lambda: lab.api.items["events"]))
            event = next(iter(lab.api.items["events"].values()))
            self.assertEqual((event["reason"], event["involvedObject"]["name"]), ("InvalidAnnotation", "web"))
            self.assertIn("lb.sluice/drain: soon: must be 1..2678400 (seconds)", event["message"])
            # What sluiced does not take leaves everything else alone.
            lab.api.put(service("odd", "224.0.0.9", WEB))
            lab.api.put(service("even", "10.99.0.12", WEB))
            self.assertTrue(lab.has("-A -t 10.99.0.12:80"))
            self.assertIn("service default/odd: cluster address 224.0.0.9: is no unicast address", lab.kube_text())
            # Health.
            page = lab.inside("lb", "curl", "-s", "-w", "%{http_code}", "http://127.0.0.1:10256/healthz").stdout
            self.assertTrue(page.endswith("200") and '"nodeEligible":true' in page, page)
            self.assertEqual(lab.inside("lb", "curl", "-s", "http://127.0.0.1:10249/proxyMode").stdout, "ipvs")
            metrics = lab.inside("lb", "curl", "-s", "http://127.0.0.1:10249/metrics").stdout
            checked = run("promtool", "check", "metrics", input=metrics, check=False)
            self.assertNotIn("error", checked.stdout + checked.stderr)
            self.assertIn(f'rest_client_requests_total{{code="200",host="{lab.api.url.split("//")[1]}",method="GET"}} ', metrics)
            self.assertGreater(lab.metric("process_resident_memory_bytes"), 1e6)
            # A port that somebody has, as sluice-kube itself.
            lab.api.put(service("taken", "10.99.0.13", WEB, type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=10256))
            told = lambda: ("FailedToStartServiceHealthcheck", "taken") in [
                (each["reason"], each["involvedObject"]["name"]) for each in list(lab.api.items["events"].values())]
            self.assertTrue(wait_until(told), lab.kube_text())
            self.assertGreater(lab.metric("kubeproxy_sync_proxy_rules_duration_seconds_count"), 0)
            # Since sluice-kube began nothing happened to endpoints.
            self.assertEqual(lab.metric("kubeproxy_network_programming_duration_seconds_count"), 0)
            lab.put_pods([endpoint(pod) for pod in lab.pods[:2]])
            told = lambda: lab.metric("kubeproxy_network_programming_duration_seconds_count") == 1
            self.assertTrue(wait_until(told), lab.metric("kubeproxy_network_programming_duration_seconds_count"))

    def test_a_tenant_takes_and_holds_up_nothing(self):
        with KubeLab() as lab:
            lab.start_web("--service-cidr", "10.99.0.0/25")
            told = lambda reason: {event["message"] for event in list(lab.api.items["events"].values()) if event["reason"] == reason}
            web = {f"server {i} {CLIENT}" for i in range(3)}
            # A namespace that sorts first, with somebody's cluster address, with forty that nobody can serve, and forged log lines.
            lab.api.put(service("evil", "10.99.0.66", WEB, namespace="aaa", externalIPs=[CLUSTER_IP] + [f"240.0.0.{i}" for i in range(40)],
                                annotations={"lb.sluice/drain": "1\nsluice-kube: forged\x1b[2J"}))
            lab.api.put(endpoint_slice("evil", [endpoint("10.65.0.99")], WEB, namespace="aaa"))
            lab.api.put(service("next", "10.99.0.67", WEB))
            self.assertTrue(lab.has("-A -t 10.99.0.67:80"), "programming goes on")
            self.assertTrue(lab.has("-a -t 10.99.0.66:80 -r 10.65.0.99:80"), "and what of it is right is served")
            self.assertEqual(self.who(lab, f"http://{CLUSTER_IP}/"), web)
            self.assertTrue(wait_until(lambda: any("own service addresses" in each for each in told("AddressNotServed"))), lab.kube_text())
            self.assertNotIn("\nsluice-kube: forged", lab.kube_text())
            self.assertNotIn("\x1b", lab.kube_text())
            self.assertGreaterEqual(lab.metric("sluice_kube_unserved_addresses"), 20)
            # Of two with the same external address the older has it, and the other is told.
            lab.api.put(service("one", "10.99.0.68", WEB, externalIPs=["10.99.0.200"]))
            self.assertTrue(lab.has("-A -t 10.99.0.200:80"))
            lab.api.put(service("two", "10.99.0.69", WEB, externalIPs=["10.99.0.200"]))
            self.assertTrue(wait_until(lambda: told("AddressConflict") == {
                "TCP 10.99.0.200 port 80: service default/one has it; it is not served here"}), lab.kube_text())
            self.assertEqual(lab.metric("sluice_kube_address_conflicts"), 1)

    def test_what_others_clear_comes_back(self):
        with KubeLab() as lab:
            lab.start_web()
            lab.adm("-A -t 10.99.0.99:80 -s rr")
            saved, served = lab.rules(), lambda: f"-A -t {CLUSTER_IP}:80" in lab.rules()
            cleared = lab.adm("-C")
            self.assertIn("services belong to kubernetes and stayed as they are", cleared.stderr)
            self.assertTrue(served())
            self.assertNotIn("10.99.0.99", lab.rules())
            restored = run(lab.build / "bin/sluiceadm", "-R", input=saved, env=dict(os.environ, SLUICE_SERVER=lab.socket))
            self.assertIn("belong to another owner", restored.stderr)
            self.assertIn("10.99.0.99", lab.rules())
            # By force, all of them; they are Kubernetes' again at once, and follow its changes.
            lab.adm("-C --force")
            self.assertTrue(wait_until(served), lab.kube_text())
            lab.put_pods([endpoint(lab.pods[0])])
            self.assertTrue(wait_until(lambda: f"-r {lab.pods[2]}:80 -m -w 1" not in lab.rules()), lab.rules())


if __name__ == "__main__":
    main()
