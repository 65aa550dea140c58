"""sluiced killed, stopped and ended: what the kernel then does with the traffic."""

import os
import signal
import time
import unittest
from pathlib import Path

from common import FRONT, VIP, Lab, Load, run, wait_until

# Packets must be the kernel's this long after sluiced went silent.
LIMIT_SECONDS = 0.2


class FailureTest(unittest.TestCase):
    def start(self, lab):
        lab.start_http_servers()
        # On the same address and port as the service: it answers whatever the kernel gets.
        lab.start_http("lb", VIP, 80, "the kernel")
        lab.start_sluiced()
        lab.add_service()
        self.assertRegex(lab.fetch(), "server [012]")

    def check_interfaces(self, lab):
        self.assertIn(" 0% packet loss", lab.inside("client", "ping", "-c", "2", "-i", "0.2", FRONT).stdout)
        self.assertIn(" 0% packet loss", lab.inside("lb", "ping", "-c", "2", "-i", "0.2", lab.server_address(0)).stdout)

    def test_killed_under_traffic(self):
        with Lab() as lab:
            self.start(lab)
            with Load(lab, seconds=3) as load:
                time.sleep(1)
                lab.sluiced.kill()
                lab.sluiced.wait()
                time.sleep(LIMIT_SECONDS)
                self.assertEqual(lab.fetch(), "the kernel")
            self.assertGreater(load.result["answers"].get("the kernel", 0), 0)
            self.check_interfaces(lab)
            self.assertIn("xdp", lab.ip("lb", "link", "show", "front").stdout, "the program stays and passes")
            # The next start takes over.
            lab.start_sluiced()
            self.assertEqual(lab.fetch(), "the kernel", "no services yet")
            lab.add_service()
            self.assertRegex(lab.fetch(), "server [012]")
            self.check_interfaces(lab)

    def test_stopped_under_traffic(self):
        with Lab() as lab:
            self.start(lab)
            with Load(lab, seconds=3) as load:
                time.sleep(1)
                lab.sluiced.send_signal(signal.SIGSTOP)
                time.sleep(LIMIT_SECONDS)
                self.assertEqual(lab.fetch(), "the kernel")
            self.assertGreater(load.result["answers"].get("the kernel", 0), 0)
            self.check_interfaces(lab)
            lab.sluiced.send_signal(signal.SIGCONT)
            self.assertTrue(wait_until(lambda: lab.fetch().startswith("server "), 5))
            self.assertGreater(lab.info()["counters"]["xdp_stale"], 0)

    def test_killed_with_several_workers(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two CPUs")
        with Lab(queues=2) as lab:
            lab.start_http_servers()
            lab.start_http("lb", VIP, 80, "the kernel")
            lab.start_sluiced("--workers", "2", "--heartbeat-limit-ms", "60")
            lab.add_service()
            self.assertRegex(lab.fetch(), "server [012]")
            lab.sluiced.kill()
            lab.sluiced.wait()
            time.sleep(LIMIT_SECONDS)
            self.assertEqual({lab.fetch() for _ in range(8)}, {"the kernel"})
            lab.start_sluiced("--workers", "2")
            lab.add_service()
            for _ in range(8):
                self.assertRegex(lab.fetch(), "server [012]")

    def test_terminated_leaves_nothing(self):
        with Lab() as lab:
            before = lab.ip("lb", "-o", "link").stdout
            self.start(lab)
            self.assertIn("slk", lab.ip("lb", "-o", "link").stdout)
            lab.sluiced.terminate()
            self.assertEqual(lab.sluiced.wait(timeout=10), 0)
            self.assertEqual(lab.ip("lb", "-o", "link").stdout, before)
            self.assertFalse(Path(lab.socket.removeprefix("unix:")).exists())
            self.assertEqual(lab.fetch(), "the kernel")
            self.check_interfaces(lab)

    def test_draining_at_the_end(self):
        # SIGTERM with packets in flight: none is lost twice, and the host answers at once.
        with Lab() as lab:
            self.start(lab)
            with Load(lab, seconds=2) as load:
                time.sleep(1)
                lab.sluiced.terminate()
                self.assertEqual(lab.sluiced.wait(timeout=10), 0)
            self.assertGreater(load.result["answers"].get("the kernel", 0), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
