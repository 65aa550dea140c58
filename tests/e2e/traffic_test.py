"""Real clients, real servers, real kernels at both ends: traffic through sluiced on veth."""

import json
import os
import subprocess
import time
import unittest
from pathlib import Path

from common import HERE, PYTHON, VIP, Lab, ask_udp, check_http, main, pings_lost, start_udp_servers


class TrafficTest(unittest.TestCase):
    def check_udp(self, lab):
        start_udp_servers(lab, 5353)
        lab.add_service(port=53, protocol="-u", server_port=5353)
        self.assertEqual(ask_udp(lab, lab.vip, 53, 999), {f"server {i}": 333 for i in range(3)})

    def check_iperf(self, lab, seconds):
        lab.start("server0", "iperf3", "-s", "-p", "5201", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lab.wait_for_listener("server0", 5201)
        lab.add_service(port=5201, servers=[0])
        printed = lab.inside("client", "iperf3", "-J", "-c", lab.vip, "-p", "5201", "-t", seconds, timeout=seconds + 120).stdout
        end = json.loads(printed)["end"]
        self.assertGreater(end["sum_received"]["bytes"], 0)
        self.assertGreaterEqual(end["sum_received"]["seconds"], seconds - 0.5)
        print(f"iperf3: {end['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s, {end['sum_sent']['retransmits']} retransmits")

    def test_two_arms(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            check_http(self, lab)
            self.check_udp(lab)
            # A stream that outlives what the kernel knows of its neighbours, many times over: half a second to one and a half
            # instead of half a minute.
            for interface in ("front", "back"):
                lab.inside("lb", "sysctl", "-qw", f"net.ipv4.neigh.{interface}.base_reachable_time_ms=1000")
            self.check_iperf(lab, 8)

    def test_ipv6(self):
        for one_arm in (False, True):
            with self.subTest(one_arm=one_arm), Lab(family=6, one_arm=one_arm) as lab:
                lab.start_http_servers()
                lab.start_sluiced()
                lab.add_service()
                check_http(self, lab)
                self.check_udp(lab)
                self.check_iperf(lab, 2)
                self.assertEqual(pings_lost(lab, "client", lab.vip), 0)
                self.assertEqual(lab.info()["counters"]["echo_answered"], 3)

    def test_one_arm_without_hugepages(self):
        with Lab(one_arm=True) as lab:
            lab.start_http_servers()
            lab.start_sluiced("--no-huge")
            lab.add_service()
            check_http(self, lab)
            self.check_udp(lab)
            self.check_iperf(lab, 2)

    def test_two_workers_and_two_queues(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two CPUs")
        for family in (4, 6):
            with self.subTest(family=family), Lab(queues=2, family=family) as lab:
                lab.start_http_servers()
                lab.start_sluiced("--workers", "2", "--no-huge")
                spreading = "by the interface's own hash, then over a ring if need be"
                self.assertEqual([port["spreading"] for port in lab.info()["ports"]], [spreading] * 2)
                self.assertIn(f"packets come to workers: {spreading}", lab.log_text())
                lab.add_service()
                check_http(self, lab)
                self.check_udp(lab)
                self.check_iperf(lab, 2)
                self.assertGreater(lab.info()["counters"]["peer_given"], 0)

    def test_what_is_not_ours_reaches_the_kernel(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            self.assertEqual(pings_lost(lab, "client", "10.64.0.1"), 0)
            lab.start_http("lb", "10.64.0.1", 8080, "the host")
            self.assertEqual(lab.inside("client", "curl", "-s", "--max-time", "30", "http://10.64.0.1:8080/").stdout.strip(), "the host")
            # A host that checks its real servers by the port they serve on.
            self.assertEqual(lab.inside("lb", "curl", "-s", "--max-time", "30", f"http://{lab.server_address(1)}/").stdout.strip(), "server 1")
            # A segment without a connection: the kernel answers, with RST, at once.
            refused = lab.inside("client", PYTHON, HERE / "stray_segment.py", "10.64.0.2", VIP, 80, check=False)
            self.assertEqual(refused.stdout.strip(), "RST", refused.stderr)

    def test_an_idle_worker_sleeps(self):
        def cpu_seconds(pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

        # Both modes run side by side, so that the same load is beside them.
        used = {}
        with Lab() as idle, Lab() as always:
            labs = {"idle": idle, "always": always}
            for mode, lab in labs.items():
                lab.start_sluiced(f"--poll={mode}")
            begin = {mode: cpu_seconds(lab.sluiced.pid) for mode, lab in labs.items()}
            time.sleep(2)
            for mode, lab in labs.items():
                used[mode] = cpu_seconds(lab.sluiced.pid) - begin[mode]
        print(f"CPU seconds of 2: idle {used['idle']:.2f}, always {used['always']:.2f}")
        self.assertLess(used["idle"] * 4, used["always"])


if __name__ == "__main__":
    main()
