"""Prometheus' page and health, over HTTP."""

import re
import shutil
import subprocess
import time
import unittest
from pathlib import Path

from common import PYTHON, VIP, Lab, main, wait_until


class MetricsTest(unittest.TestCase):
    def get(self, lab, path, *options):
        """Status and text."""
        fetched = lab.inside("lb", "curl", "-s", "-m", "60", "-w", "\n%{http_code}", *options, f"http://127.0.0.1:9909{path}", check=False)
        text, _, status = fetched.stdout.rpartition("\n")
        return int(status), text

    def value(self, page, name):
        found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
        self.assertIsNotNone(found, f"{name} is not on the page")
        return float(found.group(1))

    def test_the_page(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            lab.adm("-A -f 7 -s rr")
            lab.adm(f"-A -t {VIP}:80 -s rr", check=False)  # refused
            for _ in range(6):
                self.assertRegex(lab.fetch(), "server [012]")
            status, page = self.get(lab, "/metrics")
            self.assertEqual(status, 200)
            service = f'{{protocol="TCP",address="{VIP}",port="80"}}'
            self.assertEqual(self.value(page, f"sluice_service_connections_total{service}"), 6)
            self.assertEqual(self.value(page, "sluice_connections_total"), 6)
            for i in range(3):
                server = f'{{protocol="TCP",address="{VIP}",port="80",server_address="{lab.server_address(i)}",server_port="80"}}'
                self.assertEqual(self.value(page, f"sluice_server_connections_total{server}"), 2)
            self.assertEqual(self.value(page, "sluice_services"), 2)
            self.assertEqual(self.value(page, "sluice_config_refused_total"), 1)
            self.assertEqual(self.value(page, "sluice_config_apply_seconds_count"), self.value(page, "sluice_config_generation"))
            self.assertGreater(self.value(page, 'sluice_worker_packets_total{worker="0"}'), 30)
            self.assertGreater(self.value(page, 'sluice_worker_busy_seconds_total{worker="0"}'), 0)
            # A worker may just have had no processor, but not each time.
            silent_seconds = lambda: self.value(self.get(lab, "/metrics")[1], 'sluice_worker_silent_seconds{worker="0"}')
            self.assertTrue(wait_until(lambda: silent_seconds() < 1))
            self.assertEqual(self.value(page, 'sluice_port_up{port="front"}'), 1)
            self.assertGreater(self.value(page, "process_resident_memory_bytes"), 1e6)
            self.assertGreater(self.value(page, "process_cpu_seconds_total"), 0)
            self.assertLess(self.value(page, "process_start_time_seconds"), time.time() + 1)
            checked = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, timeout=60,
                                     check=False)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def test_health_and_wrong_use(self):
        with Lab(servers=1) as lab:
            lab.start_sluiced()
            for path in ("/healthz", "/livez", "/readyz"):
                self.assertEqual(self.get(lab, path), (200, "ok\n"))
            self.assertEqual(self.get(lab, "/"), (404, "there is no such page\n"))
            self.assertEqual(self.get(lab, "/metrics/../metrics/x")[0], 404)
            self.assertEqual(self.get(lab, "/metrics", "-X", "POST", "-d", "x")[0], 405)
            status, page = self.get(lab, "/metrics", "--head")
            self.assertEqual((status, "# HELP" in page), (200, False))
            # Clients that say nothing, or half of it, keep nobody waiting.
            script = ("import socket, time\nsilent = [socket.create_connection(('127.0.0.1', 9909)) for _ in range(300)]\n"
                      "for i, each in enumerate(silent): each.send((b'', b'GET /metrics HT')[i % 2])\n"
                      "print('there', flush=True)\ntime.sleep(300)\n")
            silent = lab.start("lb", PYTHON, "-c", script, stdout=subprocess.PIPE, text=True)
            self.assertEqual(silent.stdout.readline(), "there\n")
            self.assertEqual(self.get(lab, "/healthz"), (200, "ok\n"))
            self.assertGreater(self.value(self.get(lab, "/metrics")[1], 'sluice_http_dropped_connections_total{reason="too_many_of_client"}'), 0)
            taken = lab.inside("lb", *lab.sluiced_command("--listen", f"unix:{lab.folder}/other.sock", interfaces=[]), "--port", "net_null0",
                               "--no-huge", check=False)
            self.assertEqual(taken.returncode, 1)
            self.assertIn("--metrics 127.0.0.1:9909: cannot listen there", taken.stderr)

    def test_an_api_that_nobody_can_reach(self):
        with Lab(servers=1) as lab:
            lab.start_sluiced()
            path = Path(lab.socket.removeprefix("unix:"))
            path.rename(f"{path}.away")
            path.mkdir()  # or sluiced would listen there again
            for page in ("/healthz", "/readyz"):
                self.assertTrue(wait_until(lambda: self.get(lab, page)[0] == 503))
                self.assertIn(f"the API at {lab.socket} does not answer: ", self.get(lab, page)[1])
            self.assertEqual(self.get(lab, "/livez"), (200, "ok\n"))
            path.rmdir()
            Path(f"{path}.away").rename(path)
            for page in ("/healthz", "/readyz"):
                self.assertTrue(wait_until(lambda: self.get(lab, page) == (200, "ok\n")))


if __name__ == "__main__":
    main()
