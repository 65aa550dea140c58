"""sluice-bench through Sluice, and what it says when packets are lost or servers are away."""

import json
import subprocess
import unittest

from common import CLIENT, VIP, Lab, main

CLIENTS = "10.66.0.0/24"


class BenchTest(unittest.TestCase):
    def client(self, lab, *arguments, check=True):
        program = lab.build / "bin/sluice-bench"
        return lab.inside("client", program, "client", "--format", "json", "--to", f"{VIP}:80", *arguments, check=check)

    def prepare(self, lab):
        lab.ip("lb", "route", "add", CLIENTS, "via", CLIENT)
        lab.start_sluiced()
        for protocol in ("-u", "-t"):
            lab.add_service(protocol=protocol)
        servers = [lab.start(f"server{i}", lab.build / "bin/sluice-bench", "server", "--format", "json", "--listen",
                             f"{lab.server_address(i)}:80", stdout=subprocess.PIPE, text=True) for i in range(lab.servers)]
        for i in range(lab.servers):
            lab.wait_for_listener(f"server{i}", 80)
        return servers

    def test_counts_and_losses(self):
        with Lab() as lab:
            servers = self.prepare(lab)
            found = json.loads(self.client(lab, "--from", CLIENTS, "--flows", "30", "--rate", "3k", "--seconds", "1").stdout)
            self.assertGreater(found["sent"], 1000)
            self.assertEqual((found["answered"], found["lost"], found["flows_with_loss"]), (found["sent"], 0, 0))
            self.assertGreater(found["latency_us_p50"], 0)
            self.assertGreaterEqual(found["latency_us_p99"], found["latency_us_p50"])
            # The flows of a server that has gone, and no others, lose all.
            servers[0].terminate()
            told = json.loads(servers[0].communicate(timeout=60)[0])
            self.assertGreater(told["packets"], 0)
            lossy = json.loads(self.client(lab, "--from", CLIENTS, "--flows", "30", "--rate", "3k", "--seconds", "1").stdout)
            self.assertEqual(lossy["flows_with_loss"], 10)
            self.assertEqual(lossy["lost"], lossy["sent"] - lossy["answered"])
            self.assertEqual(len(lossy["worst_flows"]), 10)
            for flow in lossy["worst_flows"]:
                self.assertEqual(flow["lost"], flow["sent"])

    def test_new_flows_and_connections(self):
        with Lab() as lab:
            self.prepare(lab)
            before = lab.info()["counters"]["connections_created"]
            found = json.loads(self.client(lab, "--from", CLIENTS, "--flows", "1", "--new", "100%", "--rate", "2k", "--seconds", "1").stdout)
            self.assertEqual(lab.info()["counters"]["connections_created"] - before, found["sent"])
            found = json.loads(self.client(lab, "--protocol", "tcp", "--rate", "500", "--seconds", "1").stdout)
            self.assertGreater(found["connected"], 100)
            self.assertEqual((found["refused"], found["timed_out"], found["failed"]), (0, 0, 0))
            lab.adm(f"-D -t {VIP}:80")
            found = json.loads(self.client(lab, "--protocol", "tcp", "--rate", "100", "--seconds", "0.5").stdout)
            self.assertEqual(found["connected"], 0)
            self.assertGreater(found["refused"], 10)

    def test_what_cannot_be_done(self):
        with Lab() as lab:
            wrong = self.client(lab, "--from", "10.66.0.0/30", "--flows", "1M", check=False)
            self.assertEqual(wrong.returncode, 1)
            self.assertIn("--flows 1000000: --from has room for 128000 flows", wrong.stderr)
            self.assertEqual(self.client(lab, "--size", "7", check=False).returncode, 2)
            wrong = self.client(lab, "--protocol", "tcp", "--from", "10.77.0.0/24", "--seconds", "0.2", check=False)
            self.assertEqual((wrong.returncode, wrong.stderr.startswith("sluice-bench: --from: not this host's")), (1, True))


if __name__ == "__main__":
    main()
