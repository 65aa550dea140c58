"""What an operator looks into: connections, what becomes of a flow, changes of the configuration; and the tools over TLS."""

import json
import os
import subprocess
import unittest

from common import CLIENT, FRONT, VIP, Lab, main, run, wait_until
from tls_test import make_certificates


class InspectTest(unittest.TestCase):
    def sluice(self, lab, *words, status=0, env=None):
        result = run(lab.build / "bin/sluice", *words, check=False, env=dict(os.environ, SLUICE_SERVER=lab.socket, **(env or {})))
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result

    def test_explain_foretells_what_happens(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            flow = ("tcp", f"{CLIENT}:44444", f"{VIP}:80")
            for _ in range(6):
                told = self.sluice(lab, "explain", *flow).stdout
                self.assertIn("=> forwarded", told)
                chosen = [line.split()[1] for line in told.splitlines() if line.strip().startswith("->")]
                self.assertEqual(len(chosen), 1, told)
                again = self.sluice(lab, "explain", *flow).stdout
                self.assertEqual(again, told, "asking changes nothing")
                served_by = int(lab.fetch().split()[1])
                self.assertEqual(chosen[0], f"{lab.server_address(served_by)}:80")
            self.assertIn("left to kernel", self.sluice(lab, "explain", "udp", f"{CLIENT}:44444", f"{VIP}:80").stdout)
            # A flow there is: from both sides.
            client = lab.start("client", "nc", "-p", "44444", VIP, "80", stdin=subprocess.PIPE)
            self.assertTrue(wait_until(lambda: "44444" in self.sluice(lab, "connections", "--state", "established").stdout))
            told = json.loads(self.sluice(lab, "explain", *flow, "--json").stdout)
            self.assertEqual((told["outcome"], told["connection"]["state"], told["port"]), ("FORWARDED", "ESTABLISHED", "back"))
            server = f"{told['connection']['destinationAddress']}:80"
            back = json.loads(self.sluice(lab, "explain", "tcp", server, f"{CLIENT}:44444", "--json").stdout)
            self.assertEqual((back["outcome"], back["port"]), ("FORWARDED", "front"))
            client.terminate()

    def test_connections_are_filtered_and_flushed(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_http_servers(port=81)
            lab.start_sluiced()
            lab.add_service(port=80)
            lab.add_service(port=81, server_port=81)
            for port in (80, 81, 80, 81):
                self.assertIn("server", lab.fetch(port=port))

            def ports(*words):
                lines = self.sluice(lab, "connections", *words).stdout.splitlines()[2:]
                return sorted(line.split()[4].split(":")[1] for line in lines)
            self.assertEqual(ports(), ["80", "80", "81", "81"])
            self.assertEqual(ports("tcp", f"{VIP}:80"), ["80", "80"])
            self.assertEqual(ports("tcp", f"{VIP}:80", "--client", "10.64.0.0/24"), ["80", "80"])
            self.assertEqual(ports("--client", "10.0.0.0/24"), [])
            self.assertEqual(len(ports("--destination", lab.server_address(0))) + len(ports("--destination", lab.server_address(1)))
                             + len(ports("--destination", lab.server_address(2))), 4)
            self.assertEqual(ports("--state", "udp"), [])
            self.assertIn("2 connections and 0 templates", self.sluice(lab, "flush", "tcp", f"{VIP}:80").stdout)
            self.assertEqual(ports(), ["81", "81"])
            self.assertIn("InActConn", lab.adm("-Ln").stdout)
            self.assertIn("server", lab.fetch(port=80))
            # What made clients persistent goes, too.
            lab.adm(f"-E -t {VIP}:80 -s rr -p 300")
            self.assertIn("server", lab.fetch(port=80))
            self.assertRegex(self.sluice(lab, "flush", "tcp", f"{VIP}:80").stdout, r"^\d+ connections and 1 templates")
            self.assertEqual(ports("tcp", f"{VIP}:80"), [])
            self.assertIn("no service", self.sluice(lab, "flush", "tcp", f"{VIP}:99", status=3).stderr)

    def test_a_drained_node_is_not_ready_and_goes_on(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced("--state", lab.folder / "state")
            lab.add_service()

            def ready():
                return lab.inside("lb", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:9909/readyz").stdout
            self.assertEqual(ready(), "200")
            self.assertEqual(self.sluice(lab, "drain", "--node").stdout, "drained this node\n")
            self.assertEqual(ready(), "503")
            self.assertIn("this node is drained", self.sluice(lab, "status").stdout)
            self.assertIn("server", lab.fetch(), "what comes is served")
            lab.sluiced.kill()
            lab.sluiced.wait()
            lab.start_sluiced("--state", lab.folder / "state")
            self.assertEqual(ready(), "503", "a restart is no reason to come back")
            self.sluice(lab, "drain", "--node", "--undo")
            self.assertEqual(ready(), "200")

    def test_watch(self):
        with Lab(servers=1) as lab:
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:80 -s rr")
            self.assertEqual(self.sluice(lab, "watch", "--rounds", "1").stdout, "configuration 1, whole: 1 services\n")
            lab.adm(f"-a -t {VIP}:80 -r 10.65.0.11 -m")
            told = self.sluice(lab, "watch", "--after", "1", "--rounds", "1").stdout
            self.assertEqual(told, f"configuration 2:\n  added server 10.65.0.11:80 of TCP {VIP}:80\n")

    def test_the_tools_over_tls(self):
        with Lab(servers=1) as lab:
            make_certificates(lab.folder)
            lab.start_sluiced("--listen-tls", f"{FRONT}:7443", "--tls-cert", lab.folder / "server.pem", "--tls-key", lab.folder / "server.key",
                              "--tls-client-ca", lab.folder / "ours.pem")
            tls = {"SLUICE_SERVER": f"{FRONT}:7443", "SLUICE_TLS_CA": lab.folder / "ours.pem", "SLUICE_TLS_CERT": lab.folder / "client.pem",
                   "SLUICE_TLS_KEY": lab.folder / "client.key"}

            def far(tool, *words, check=True, **changes):
                settings = [f"{name}={value}" for name, value in dict(tls, **changes).items()]
                return lab.inside("client", "env", *settings, lab.build / "bin" / tool, *words, check=check)
            far("sluiceadm", "-A", "-t", f"{VIP}:80", "-s", "rr")
            self.assertEqual(far("sluiceadm", "-S", "-n").stdout, f"-A -t {VIP}:80 -s rr\n")
            self.assertIn("1 services", far("sluice", "status").stdout)
            for tool, status in (("sluice", 2), ("sluiceadm", 255)):
                refused = far(tool, "status" if tool == "sluice" else "-L", check=False, SLUICE_TLS_KEY="")
                self.assertEqual(refused.returncode, status)
                self.assertIn("$SLUICE_TLS_KEY", refused.stderr)
            refused = far("sluice", "status", check=False, SLUICE_TLS_CERT=lab.folder / "stranger.pem", SLUICE_TLS_KEY=lab.folder / "stranger.key")
            self.assertEqual(refused.returncode, 4, "nobody answers strangers")

    def test_wrong_use(self):
        with Lab(servers=1) as lab:
            for words in (("explain",), ("explain", "tcp", "1.2.3.4:1"), ("explain", "icmp", "1.2.3.4:1", "1.2.3.4:2"), ("explain", "tcp", "1.2.3.4", "1.2.3.4:2"),
                          ("flush",), ("flush", "tcp", "x:y:z"), ("flush", "fwmark", "0"), ("connections", "tcp"), ("watch", "--after", "x"),
                          ("drain", "--undo"), ("drain", "--node", "1.2.3.4")):
                self.assertNotEqual(self.sluice(lab, *words, status=2).stderr, "", words)


if __name__ == "__main__":
    main()
