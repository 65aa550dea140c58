"""A cluster's Services, from a stand-in API server by sluice-kube to sluiced, with real clients and servers."""

import json
import shutil
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kubernetes"))
from common import CLIENT, Load  # noqa: E402
from kube_lab import CLUSTER_IP, NODE, KubeLab, endpoint, endpoint_slice, in_namespace, run, service, wait_until  # noqa: E402

HERE = Path(__file__).resolve().parent
WEB = {"http": (80, "TCP")}


class KubernetesTest(unittest.TestCase):
    def start(self, lab, *extra, pods=None):
        """A Service `web` with all pods, served."""
        for i, address in enumerate(lab.pods):
            lab.start_http(f"server{i}", address, 80, f"server {i} $remote_addr")
        lab.start_sluiced()
        lab.api.put(service("web", CLUSTER_IP, WEB))
        lab.put_pods(pods or [endpoint(lab.pods[0])] + [endpoint(pod, node="other") for pod in lab.pods[1:]])
        lab.start_kube(*extra)
        self.assertTrue(lab.has(f"-a -t {CLUSTER_IP}:80 -r {lab.pods[-1]}:80"), lab.kube_text())

    def who(self, lab, url, times=9, source=None):
        return {lab.get(url, source=source) for _ in range(times)}

    def test_every_frontend(self):
        with KubeLab() as lab:
            self.start(lab)
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
            self.assertTrue(wait_until(lambda: " -w 1" not in lab.adm(f"-S -n").stdout.replace(f"{lab.back}:6443 -m -w 1", ""), 15))
            begin = time.monotonic()
            self.assertEqual(lab.get(f"http://{CLUSTER_IP}/"), "")
            self.assertLess(time.monotonic() - begin, 2, "refused, not silent")
            lab.api.delete("Service", "default", "web")
            self.assertTrue(wait_until(lambda: CLUSTER_IP + ":80" not in lab.rules()))
            self.assertIn("10.99.0.250:443", lab.rules())

    def test_rollouts_under_load(self):
        with KubeLab() as lab:
            self.start(lab, "--ipvs-scheduler=lc")
            lab.vip = CLUSTER_IP
            with Load(lab, 12) as load:
                for round_ in range(8):
                    leaving = round_ % 3
                    stays = [endpoint(pod) for i, pod in enumerate(lab.pods) if i != leaving]
                    lab.put_pods(stays + [endpoint(lab.pods[leaving], ready=False, serving=True, terminating=True)])
                    time.sleep(0.4)
                    lab.put_pods(stays)
                    time.sleep(0.3)
                    lab.put_pods(stays + [endpoint(lab.pods[leaving], ready=False, serving=False)])
                    time.sleep(0.3)
                    lab.put_pods([endpoint(pod) for pod in lab.pods])
                    time.sleep(0.3)
            self.assertEqual(load.result["failures"], {})
            self.assertGreater(sum(load.result["answers"].values()), 200)
            self.assertEqual(len(load.result["answers"]), 3)

    def test_the_grace_period_of_a_pod(self):
        with KubeLab() as lab:
            first, second, third = lab.pods
            self.start(lab, pods=[endpoint(third)])
            hold = lambda: in_namespace(lab.ns("client"), lambda: socket.create_connection((CLUSTER_IP, 80), 5))
            with hold():
                lab.put_pods([endpoint(first), endpoint(third, ready=False, terminating=True)])
                self.assertTrue(lab.has(f"-r {third}:80 -m -w 0"), lab.rules())
                time.sleep(1)
                self.assertIn(f"-r {third}:80 -m -w 0", lab.rules(), "there is a connection")
                lab.put_pods([endpoint(first)])
                self.assertTrue(wait_until(lambda: third not in lab.rules(), 5), "its pod has ended")
            # One that leaves for another reason keeps its connections.
            with hold():
                lab.put_pods([endpoint(second)])
                self.assertTrue(lab.has(f"-r {first}:80 -m -w 0"), lab.rules())
                time.sleep(6)
                self.assertIn(f"-r {first}:80 -m -w 0", lab.rules())

    def test_the_api_server_breaks(self):
        with KubeLab() as lab:
            self.start(lab)
            lab.vip = CLUSTER_IP
            api = lab.api
            with Load(lab, 15, concurrent=2) as load:
                api.chunk = 7  # every token is torn
                api.cut_streams()
                lab.put_pods([endpoint(lab.pods[0]), endpoint(lab.pods[1])])
                self.assertTrue(wait_until(lambda: f"{lab.pods[2]}:80 -m -w 1" not in lab.rules(), 15))
                api.forget_history()  # 410
                api.cut_streams(in_the_middle=False)
                lab.put_pods([endpoint(pod) for pod in lab.pods])
                self.assertTrue(lab.has(f"{lab.pods[2]}:80 -m -w 1"))
                time.sleep(1)  # until all three kinds have listed again
                lists = lab.metric("sluice_kube_api_lists_total")
                api.refuse(429, retry_after=1)
                api.cut_streams()
                lab.put_pods([endpoint(lab.pods[1])])
                time.sleep(1.5)
                self.assertIn(f"{lab.pods[0]}:80 -m -w 1", lab.rules(), "nobody was told")
                api.refuse(500)
                time.sleep(1)
                api.refuse(None)
                self.assertTrue(wait_until(lambda: f"{lab.pods[0]}:80 -m -w 1" not in lab.rules(), 20))
                self.assertEqual(lab.metric("sluice_kube_api_lists_total"), lists, "a watch that goes on needs no list")
            self.assertEqual(load.result["failures"], {})

    def test_the_api_server_is_gone_for_a_minute(self):
        with KubeLab() as lab:
            self.start(lab, pods=[endpoint(pod) for pod in lab.pods[1:]])
            lab.vip = CLUSTER_IP
            kept, errors = lab.api, lab.metric("sluice_kube_api_errors_total")
            with Load(lab, 75, concurrent=2) as load:
                kept.close()
                time.sleep(60)
                self.assertIn(f"{lab.pods[1]}:80 -m -w 1", lab.rules())
                health = lab.inside("lb", "curl", "-s", "-w", "%{http_code}", "http://127.0.0.1:10256/healthz").stdout
                self.assertTrue(health.endswith("200"), health)
                self.assertGreater(lab.metric("sluice_kube_api_errors_total"), errors)
                # It comes back as it was, and more has happened than it remembers.
                lab.start_api(kept.port)
                lab.api.items, lab.api.version = kept.items, kept.version + 50
                lab.api.oldest = lab.api.version
                lab.put_pods([endpoint(pod) for pod in lab.pods])
                self.assertTrue(wait_until(lambda: f"{lab.pods[0]}:80 -m -w 1" in lab.rules(), 60), lab.kube_text())
            self.assertEqual(load.result["failures"], {})

    def test_a_server_that_knows_nothing_is_not_believed(self):
        with KubeLab() as lab:
            self.start(lab)
            kept = dict(lab.api.items["services"])
            lab.api.items["services"].clear()
            lab.api.forget_history()
            lab.api.cut_streams()
            self.assertTrue(wait_until(lambda: "is not believed" in lab.kube_text(), 20), lab.kube_text())
            self.assertGreater(lab.metric("sluice_kube_disbelieved_total"), 0)
            self.assertIn(f"-A -t {CLUSTER_IP}:80", lab.rules())
            self.assertTrue(lab.get(f"http://{CLUSTER_IP}/").startswith("server"))
            lab.api.items["services"].update(kept)
            lab.api.delete("Service", "default", "web")
            lab.api.forget_history()
            lab.api.cut_streams()
            self.assertTrue(wait_until(lambda: f"{CLUSTER_IP}:80" not in lab.rules(), 30), lab.kube_text())

    def test_killed_and_restarted(self):
        with KubeLab() as lab:
            self.start(lab)
            lab.vip = CLUSTER_IP
            lab.adm("-A -t 10.99.0.99:99 -s rr")  # somebody else's
            with Load(lab, 8, concurrent=2) as load:
                lab.stop_kube()
                lab.put_pods([endpoint(lab.pods[0])])
                lab.api.put(service("new", "10.99.0.11", WEB))
                time.sleep(0.5)
                lab.start_kube()
                self.assertTrue(lab.has("-A -t 10.99.0.11:80"))
                self.assertTrue(wait_until(lambda: f"{lab.pods[1]}:80 -m -w 1" not in lab.rules()))
            self.assertEqual(load.result["failures"], {})
            # sluiced forgets everything.
            lab.sluiced.kill()
            lab.sluiced.wait()
            time.sleep(1)
            lab.start_sluiced()
            self.assertTrue(lab.has("-A -t 10.99.0.11:80"), lab.kube_text())
            self.assertTrue(wait_until(lambda: lab.get(f"http://{CLUSTER_IP}/").startswith("server 0"), 10))
            # Somebody takes away what is ours.
            lab.adm("-C")
            lab.stop_kube(15)
            self.assertEqual(lab.kube.returncode, 0)
            lab.start_kube("--ipvs-sync-period=1s")
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:80"))
            lab.adm("-C")
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:80"), "repaired")

    def test_draining(self):
        with KubeLab() as lab:
            self.start(lab, pods=[endpoint("10.65.0.11"), endpoint("10.65.0.12"), endpoint("10.65.0.13")])
            talk = lab.start("client", "python3", "-c", f"import socket,sys; s=socket.create_connection(('{CLUSTER_IP}',80)); print(1,flush=True); sys.stdin.read()",
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            talk.stdout.readline()
            lab.put_pods([])
            self.assertTrue(wait_until(lambda: lab.rules().count(f"-a -t {CLUSTER_IP}:80") == 1, 20), lab.rules())
            self.assertIn(":80 -m -w 0", lab.rules())
            talk.communicate("")
            talk.wait()
            self.assertIn("-w 0", lab.rules(), "it is closing yet")

    def test_udp_goes_elsewhere_at_once(self):
        with KubeLab() as lab:
            for i, pod in enumerate(lab.pods):
                lab.start(f"server{i}", "python3", HERE / "udp_echo.py", "server", pod, 53, f"server {i}")
                lab.wait_for_listener(f"server{i}", 53, udp=True)
            lab.start_sluiced()
            lab.api.put(service("dns", CLUSTER_IP, {"dns": (53, "UDP")}))
            lab.api.put(endpoint_slice("dns", [endpoint(pod) for pod in lab.pods], {"dns": (53, "UDP")}))
            lab.start_kube()
            self.assertTrue(lab.has(f"-a -u {CLUSTER_IP}:53 -r {lab.pods[2]}:53"), lab.kube_text())

            def ask():
                return json.loads(lab.inside("client", "python3", HERE / "udp_echo.py", "client", CLUSTER_IP, 53, 30).stdout)

            self.assertEqual(ask(), {f"server {i}": 10 for i in range(3)})
            lab.api.put(endpoint_slice("dns", [endpoint(pod) for pod in lab.pods[1:]], {"dns": (53, "UDP")}))
            self.assertTrue(wait_until(lambda: f"{lab.pods[0]}:53" not in lab.rules(), 15), "no weight 0: it is gone")
            answers = ask()  # from the same ports, so that these are the same flows
            self.assertEqual((answers.get("server 0", 0), answers.get("nobody", 0), sum(answers.values())), (0, 0, 30), answers)

    def test_annotations_and_what_is_others(self):
        with KubeLab() as lab:
            lab.ip("lb", "addr", "add", "10.99.0.53/32", "dev", "lo")  # a cache of the cluster's DNS
            self.start(lab)
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
            self.assertIn("TCP 224.0.0.9 port 80 is left out", lab.kube_text())
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

    def test_tls_and_tokens(self):
        with KubeLab() as lab:
            key, certificate = lab.speak_tls()
            lab.start_sluiced()
            token = lab.folder / "token"
            token.write_text("old\n")
            config = json.loads(Path(lab.api.kubeconfig(lab.folder / "config", ca=certificate)).read_text())
            config["users"][0]["user"] = {"tokenFile": "token"}
            (lab.folder / "config").write_text(json.dumps(config))
            with open(lab.kube_log, "a", encoding="utf8") as log:
                lab.start("lb", lab.build / "bin/sluice-kube", "--kubeconfig", lab.folder / "config", "--sluiced", lab.socket, "--node-name", NODE,
                          stdout=log, stderr=log)
            self.assertTrue(wait_until(lambda: "HTTP 401" in lab.kube_text(), 10), lab.kube_text())
            token.write_text("secret\n")  # as the kubelet does
            self.assertTrue(lab.has("10.99.0.250:443"), lab.kube_text())
            # A server that somebody else vouches for is not spoken to.
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                "-days", "2", "-subj", "/CN=other", "-addext", "subjectAltName=IP:127.0.0.1")
            lab.api.kubeconfig(lab.folder / "wrong", ca=certificate)
            refused = lab.start("lb", lab.build / "bin/sluice-kube", "--kubeconfig", lab.folder / "wrong", "--sluiced", lab.socket, "--node-name", NODE,
                                "--healthz-bind-address=none", "--metrics-bind-address=none", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
            self.assertIn("certificate", refused.stderr.readline().lower())
            refused.kill()
            refused.communicate()

    def test_wrong_use(self):
        with KubeLab() as lab:
            def error(*words):
                result = lab.inside("lb", lab.build / "bin/sluice-kube", *words, check=False, timeout=20)
                self.assertEqual(result.returncode, 1)
                return result.stderr
            self.assertIn("this is no pod", error())
            self.assertIn("no.yaml", error("--kubeconfig", lab.folder / "no.yaml"))
            (lab.folder / "bad.yaml").write_text("current-context: x\ncontexts: []\n")
            self.assertIn("current-context x: there is no such context", error("--kubeconfig", lab.folder / "bad.yaml"))
            self.assertIn("must be one of IPVS's schedulers", error("--ipvs-scheduler", "best"))

    @unittest.skipUnless(shutil.which("kubectl"), "kubectl is not installed")
    def test_kubectl(self):
        with KubeLab() as lab:
            _, certificate = lab.speak_tls()  # kubectl shows its token to nobody else
            lab.start_sluiced()
            lab.start_kube(ca=certificate)
            def kubectl(*words, **options):
                return lab.inside("lb", "kubectl", "--kubeconfig", lab.folder / "kubeconfig", "--cache-dir", lab.folder / "cache", *words, **options).stdout
            kubectl("apply", "--validate=false", "-f", "-", input=json.dumps(service("by-hand", "10.99.0.30", WEB)))
            self.assertTrue(lab.has("10.99.0.30:80"), lab.kube_text())
            self.assertEqual(json.loads(kubectl("get", "svc", "by-hand", "-o", "json"))["spec"]["clusterIP"], "10.99.0.30")
            kubectl("delete", "svc", "by-hand", "--wait=false")
            self.assertTrue(wait_until(lambda: "10.99.0.30:80" not in lab.rules()))


if __name__ == "__main__":
    unittest.main(verbosity=2)
