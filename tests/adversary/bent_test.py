"""200,000 bent packets: scapy's fuzz(), then bytes and lengths changed at random, beside streams that are checked byte by byte."""

import unittest

from siege import DEBIAN_PYTHON, HERE, PORT, SMALL, Siege, note, print_figures, wait_until
from common import main, run

OF_SCAPY = 2000
OF_A_FAMILY = 100_000
RATE = 25_000
SEED = 20


def unaccounted(counters):
    """Packets that came, less those that left rewritten and those that a named counter knows."""
    after_the_pipeline = ("drop_port_full", "drop_peer_full", "drop_kernel_full", "kernel_port_failed")
    reasons = sum(value for name, value in counters.items()
                  if name.startswith(("kernel_", "refused_", "drop_")) and name != "kernel_forwards" and name not in after_the_pipeline)
    reasons += counters["echo_answered"] + counters["tunnel_errors"] + counters["fragments_evicted"]
    left = counters["sent"] + counters["drop_port_full"] + counters["kernel_forwards"] - counters["sent_reset"] - counters["sent_icmp"]
    return counters["received"] - reasons - left


class BentTest(unittest.TestCase):
    def check(self, family):
        with Siege("--connections", SMALL, family=family) as siege:
            lab = siege.lab
            # Services that look at addresses more closely: persistent ones, and those for some clients only.
            lab.adm(f"-A -t {lab.endpoint(lab.vip, PORT + 1)} -s rr -p 300")
            lab.adm(f"-A -t {lab.endpoint(lab.vip, PORT + 2)} -s rr --deny {'10.200.0.0/16' if family == 4 else 'fd64::8000/113'}")
            for port in (PORT + 1, PORT + 2):
                lab.adm(f"-a -t {lab.endpoint(lab.vip, port)} -r {lab.endpoint(lab.server_address(0), PORT)} -m")
            frames = lab.folder / "frames"
            run(DEBIAN_PYTHON, "-B", HERE / "bent.py", frames, OF_SCAPY, SEED, lab.vip, PORT, lab.client, lab.front, lab.server_address(0))
            before = siege.counters()
            sent = siege.send_frames(frames, OF_A_FAMILY, RATE, SEED)
            self.assertEqual(sent, OF_A_FAMILY)
            figures = siege.check_streams(self)
            siege.client.terminate()
            siege.client.wait()
            # Fragments wait for a second; then every packet is known by a name.
            settled = wait_until(lambda: unaccounted(siege.counters()) == 0, 10)
            counters = siege.counters()
            named = {name: value - before[name] for name, value in counters.items() if value != before[name]}
            note(f"bent packets, IPv{family}", frames=sent, seen_by_workers=named["received"], longest_stall_ms=figures["longest_ms"],
                 names=len(named))
            self.assertTrue(settled, f"{unaccounted(counters)} packets without a name: {named}")
            self.assertGreater(sum(value > 0 for name, value in named.items() if name.startswith("drop_")), 5, named)

    def test_ipv4(self):
        self.check(4)

    def test_ipv6(self):
        self.check(6)


if __name__ == "__main__":
    main(print_figures)
