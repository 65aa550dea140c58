"""sluiced killed, stopped and ended: what the kernel then does with the traffic."""

import os
import signal
import time
import unittest
from pathlib import Path

from common import FRONT, VIP, Lab, Load, Talk, main, pings_lost, run, start_talk_servers, wait_until

# Seconds for a step of a request that sluiced's end may have left without an answer for ever.
PATIENCE = 2
# Packets must be the kernel's this long after sluiced was killed.
LIMIT_SECONDS = 0.2


class FailureTest(unittest.TestCase):
    def assert_served(self, lab):
        # Here a worker that was silent for a moment loses packets to the kernel, and is asked again.
        self.assertTrue(wait_until(lambda: lab.fetch().startswith("server ")), "a real server answers")

    def start(self, lab, *options):
        lab.start_http_servers()
        # On the same address and port as the service: it answers whatever the kernel gets.
        lab.start_http("lb", VIP, 80, "the kernel")
        lab.start_sluiced(*options)
        lab.add_service()
        self.assert_served(lab)

    def check_interfaces(self, lab):
        self.assertEqual(pings_lost(lab, "client", FRONT, times=2), 0)
        self.assertEqual(pings_lost(lab, "lb", lab.server_address(0), times=2), 0)

    def is_quiet(self, lab):
        """Whether half a second brings no packet."""
        sent = lab.info()["counters"]["sent"]
        time.sleep(0.5)
        return lab.info()["counters"]["sent"] == sent

    def test_killed_under_traffic(self):
        with Lab(heartbeat_limit_ms=None) as lab:
            self.start(lab)
            with Load(lab, patience=PATIENCE) as load:
                lab.sluiced.kill()
                lab.sluiced.wait()
                time.sleep(LIMIT_SECONDS)
                self.assertEqual(lab.fetch(timeout=3), "the kernel")
                self.assertTrue(load.has_seen("the kernel"))
            self.assertGreater(load.result["answers"].get("the kernel", 0), 0)
            self.check_interfaces(lab)
            self.assertIn("xdp", lab.ip("lb", "link", "show", "front").stdout, "the program stays and passes")
            # The next start takes over.
            lab.start_sluiced()
            self.assertEqual(lab.fetch(), "the kernel", "no services yet")
            lab.add_service()
            self.assert_served(lab)
            self.check_interfaces(lab)

    def test_stopped_under_traffic_and_the_kernel_goes_on(self):
        with Lab(heartbeat_limit_ms=None) as lab:
            self.start(lab, "--on-stall=pass")
            self.assertIn("the kernel's, for --on-stall=pass", lab.sluice("status").stdout)
            with Load(lab, patience=PATIENCE) as load:
                lab.sluiced.send_signal(signal.SIGSTOP)
                # A worker that had no processor for a while allows itself up to two seconds.
                self.assertTrue(wait_until(lambda: lab.fetch(timeout=3) == "the kernel"))
                self.assertTrue(load.has_seen("the kernel"))
            self.assertGreater(load.result["answers"].get("the kernel", 0), 0)
            self.check_interfaces(lab)
            lab.sluiced.send_signal(signal.SIGCONT)
            self.assert_served(lab)
            self.assertGreater(lab.info()["counters"]["xdp_stale"], 0)

    def test_stopped_under_traffic_and_the_kernel_cannot_go_on(self):
        with Lab(heartbeat_limit_ms=None) as lab:
            self.start(lab)
            self.assertIn("dropped, and sent again, for the kernel's IPVS does not have the services", lab.sluice("status").stdout)
            with Load(lab) as load:
                lab.sluiced.send_signal(signal.SIGSTOP)
                # The host's own server must not answer. Until the limit packets wait in the socket.
                self.assertEqual(lab.fetch(timeout=4), "")
                lab.sluiced.send_signal(signal.SIGCONT)
                self.assert_served(lab)
            self.assertEqual(load.result["failures"], {})
            self.assertEqual(load.result["answers"].get("the kernel", 0), 0)
            self.assertGreater(lab.info()["counters"]["xdp_stale_dropped"], 0)
            # Killed while it stands still: then it has gone, and the kernel has everything.
            lab.sluiced.send_signal(signal.SIGSTOP)
            lab.sluiced.kill()
            lab.sluiced.wait()
            self.assertEqual(lab.fetch(timeout=10), "the kernel")

    def test_killed_with_several_workers(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two CPUs")
        with Lab(queues=2) as lab:
            lab.start_http_servers()
            lab.start_http("lb", VIP, 80, "the kernel")
            lab.start_sluiced("--workers", "2", "--heartbeat-limit-ms", "60")
            lab.add_service()
            self.assert_served(lab)
            lab.sluiced.kill()
            lab.sluiced.wait()
            time.sleep(LIMIT_SECONDS)
            self.assertEqual({lab.fetch(timeout=3) for _ in range(8)}, {"the kernel"})
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
            self.assertEqual(lab.sluiced.wait(timeout=60), 0)
            self.assertEqual(lab.ip("lb", "-o", "link").stdout, before)
            self.assertFalse(Path(lab.socket.removeprefix("unix:")).exists())
            self.assertEqual(lab.fetch(), "the kernel")
            self.check_interfaces(lab)

    def test_draining_at_the_end(self):
        # SIGTERM with packets in flight: none is lost twice, and the host answers at once.
        with Lab() as lab:
            self.start(lab)
            with Load(lab, patience=PATIENCE) as load:
                lab.sluiced.terminate()
                self.assertEqual(lab.sluiced.wait(timeout=60), 0)
                self.assertTrue(load.has_seen("the kernel"))
            self.assertGreater(load.result["answers"].get("the kernel", 0), 0)

    def test_an_orderly_restart_keeps_connections_that_the_kernel_cannot_have(self):
        with Lab() as lab:
            start_talk_servers(lab, 7000)
            state = lab.folder / "state"
            lab.start_sluiced("--state", state)
            lab.add_service(port=7000)
            talks = [Talk(lab, 7000) for _ in range(3)]
            before = [talk.ask("before") for talk in talks]
            self.assertEqual(len(set(before)), 3)
            # Once the last acknowledgements are through: the host, which has the address, would reset them.
            self.assertTrue(wait_until(lambda: self.is_quiet(lab)))
            lab.sluiced.terminate()
            self.assertEqual(lab.sluiced.wait(timeout=60), 0)
            self.assertEqual(Path(f"{state}.connections").stat().st_mode & 0o777, 0o600)
            lab.start_sluiced("--state", state)
            self.assertFalse(Path(f"{state}.connections").exists())
            self.assertEqual([talk.ask("after") for talk in talks], [answer.replace("before", "after") for answer in before])
            # What is not wanted is not taken; a damaged file is said, and no reason not to start.
            lab.sluiced.terminate()
            lab.sluiced.wait(timeout=60)
            Path(f"{state}.connections").write_text("sluice-connections-1 0 7\nnonsense\n")
            lab.start_sluiced("--state", state)
            self.assertIn("is not whole, and its connections are not taken", lab.log_text())
            for talk in talks:
                talk.close()

    @unittest.skipIf(os.path.exists("/proc/net/ip_vs") or not run("modprobe", "ip_vs", check=False).returncode, "this kernel has IPVS")
    def test_a_kernel_without_ipvs_is_said_once_and_nothing_else_is_missing(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced("--kernel-ipvs", "auto")
            lab.add_service()
            self.assertTrue(lab.fetch().startswith("server"))
            warnings = [line for line in lab.log_text().splitlines() if "without a mirror in the kernel's IPVS" in line]
            self.assertEqual(len(warnings), 1, lab.log_text())
            status = run(lab.build / "bin/sluice", "release", check=False, env=dict(os.environ, SLUICE_SERVER=lab.socket))
            self.assertIn("the kernel's IPVS does not have our services", status.stderr)
            self.assertTrue(lab.fetch().startswith("server"))


if __name__ == "__main__":
    main()
