"""sluice-kube and the API server: what becomes of traffic when the server breaks or is gone, who is believed; TLS, kubectl."""

import json
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kubernetes"))
from common import Load, main  # noqa: E402
from kube_lab import CLUSTER_IP, NODE, WEB, KubeLab, endpoint, run, service, wait_until  # noqa: E402


class KubernetesApiTest(unittest.TestCase):
    def test_the_api_server_breaks(self):
        with KubeLab() as lab:
            lab.start_web()
            lab.vip = CLUSTER_IP
            api = lab.api
            with Load(lab, concurrent=2) as load:
                api.chunk = 7  # every token is torn
                api.cut_streams()
                lab.put_pods([endpoint(lab.pods[0]), endpoint(lab.pods[1])])
                self.assertTrue(wait_until(lambda: f"{lab.pods[2]}:80 -m -w 1" not in lab.rules()))
                api.forget_history()  # 410
                api.cut_streams(in_the_middle=False)
                lab.put_pods([endpoint(pod) for pod in lab.pods])
                self.assertTrue(lab.has(f"{lab.pods[2]}:80 -m -w 1"))
                # Until all three kinds have listed again, and watch.
                self.assertTrue(wait_until(lambda: len(api.watched) == 3))
                lists = lab.metric("sluice_kube_api_lists_total")
                api.refuse(429, retry_after=1)
                api.cut_streams()
                lab.put_pods([endpoint(lab.pods[1])])
                # Each of the three has asked, waited as it was told, and asked again.
                self.assertTrue(wait_until(lambda: api.refused >= 6))
                self.assertIn(f"{lab.pods[0]}:80 -m -w 1", lab.rules(), "nobody was told")
                api.refuse(500)
                self.assertTrue(wait_until(lambda: api.refused >= 3))
                api.refuse(None)
                self.assertTrue(wait_until(lambda: f"{lab.pods[0]}:80 -m -w 1" not in lab.rules()))
                self.assertEqual(lab.metric("sluice_kube_api_lists_total"), lists, "a watch that goes on needs no list")
            self.assertEqual(load.result["failures"], {})

    def test_a_restart_of_the_api_server_costs_few_lists(self):
        # After a restart watches are too old, and lists of exactly the old version are not: etcd has it all.
        with KubeLab() as lab:
            lab.start_web(pods=[endpoint(lab.pods[-1])])
            api = lab.api

            def is_cheap(rule, event):
                self.assertTrue(wait_until(lambda: len(api.watched) == 3))
                before, lists = len(api.requests), lab.metric("sluice_kube_api_lists_total")
                event()
                self.assertTrue(lab.has(rule), lab.kube_text())
                self.assertTrue(wait_until(lambda: len(api.watched) == 3))
                time.sleep(1)  # a storm would be seen
                self.assertLessEqual(len(api.requests) - before, 12)
                self.assertEqual(lab.metric("sluice_kube_api_lists_total"), lists + 3)

            def restart():
                api.forget_history()
                api.cut_streams(in_the_middle=False)
                lab.put_pods([endpoint(lab.pods[0])])

            def paused_meanwhile():
                lab.kube.send_signal(signal.SIGSTOP)
                lab.put_pods([endpoint(lab.pods[1])])
                api.forget_history()
                api.cut_streams(in_the_middle=False)
                lab.kube.send_signal(signal.SIGCONT)

            is_cheap(f"{lab.pods[0]}:80 -m -w 1", restart)
            is_cheap(f"{lab.pods[1]}:80 -m -w 1", paused_meanwhile)
            self.assertGreaterEqual(lab.metric("sluice_kube_api_errors_total"), 6, "watches that are too old are failures")

    def test_the_api_server_is_gone_for_a_while(self):
        # Long enough for each of the three to have tried again some times, and for the regular comparison with sluiced,
        # which every half minute would bring. (How the waits grow: tests/control/kubernetes, BackoffTest.)
        with KubeLab() as lab:
            lab.start_web("--ipvs-sync-period=1s", pods=[endpoint(pod) for pod in lab.pods[1:]])
            lab.vip = CLUSTER_IP
            kept, errors = lab.api, lab.metric("sluice_kube_api_errors_total")
            with Load(lab, concurrent=2) as load:
                kept.close()
                self.assertTrue(wait_until(lambda: lab.metric("sluice_kube_api_errors_total") >= errors + 10))
                self.assertIn(f"{lab.pods[1]}:80 -m -w 1", lab.rules())
                health = lab.inside("lb", "curl", "-s", "-w", "%{http_code}", "http://127.0.0.1:10256/healthz").stdout
                self.assertTrue(health.endswith("200"), health)
                # The server comes back as it was, and more has happened than it remembers.
                lab.start_api(kept.port)
                lab.api.items, lab.api.version = kept.items, kept.version + 50
                lab.api.oldest = lab.api.compacted = lab.api.version
                lab.put_pods([endpoint(pod) for pod in lab.pods])
                self.assertTrue(wait_until(lambda: f"{lab.pods[0]}:80 -m -w 1" in lab.rules(), 120), lab.kube_text())
            self.assertEqual(load.result["failures"], {})

    def test_a_server_that_knows_nothing_is_not_believed(self):
        with KubeLab() as lab:
            lab.start_web()
            kept = dict(lab.api.items["services"])
            lab.api.items["services"].clear()
            lab.api.forget_history()
            lab.api.cut_streams()
            self.assertTrue(wait_until(lambda: "is not believed" in lab.kube_text()), lab.kube_text())
            self.assertGreater(lab.metric("sluice_kube_disbelieved_total"), 0)
            self.assertIn(f"-A -t {CLUSTER_IP}:80", lab.rules())
            self.assertTrue(lab.get(f"http://{CLUSTER_IP}/").startswith("server"))
            lab.api.items["services"].update(kept)
            lab.api.delete("Service", "default", "web")
            lab.api.forget_history()
            lab.api.cut_streams()
            self.assertTrue(wait_until(lambda: f"{CLUSTER_IP}:80" not in lab.rules()), lab.kube_text())

    def test_killed_and_restarted(self):
        with KubeLab() as lab:
            lab.start_web()
            lab.vip = CLUSTER_IP
            lab.adm("-A -t 10.99.0.99:99 -s rr")  # somebody else's
            with Load(lab, concurrent=2) as load:
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
            self.assertTrue(wait_until(lambda: lab.get(f"http://{CLUSTER_IP}/").startswith("server 0")))
            # Somebody takes away what is ours.
            lab.adm("-C --force")
            lab.stop_kube(15)
            self.assertEqual(lab.kube.returncode, 0)
            lab.start_kube("--ipvs-sync-period=1s")
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:80"))
            lab.adm("-C --force")
            self.assertTrue(lab.has(f"-A -t {CLUSTER_IP}:80"), "repaired")

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
            self.assertTrue(wait_until(lambda: "HTTP 401" in lab.kube_text()), lab.kube_text())
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
                result = lab.inside("lb", lab.build / "bin/sluice-kube", *words, check=False, timeout=60)
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
    main()
