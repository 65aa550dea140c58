"""Floods from strangers into a small table: who is established goes on, who is legitimate comes in, and all recovers."""

import time
import unittest

from siege import PORT, SMALL, Siege, note, print_figures, sent_of, ended
from common import main

RATE = 20_000
SECONDS = 8
# A second: an attack that costs nothing.
TRICKLE = 870
PERSISTENT, SILENT, NOBODY = 7001, 7002, 7003
NOWHERE = "10.65.0.99"


class FloodTest(unittest.TestCase):
    def test_syn(self):
        with Siege("--connections", SMALL) as siege:
            siege.check_flood(self, "SYN flood", "syn", PORT, RATE, SECONDS)

    # More than the link and the worker can take: what is lost is anybody's, but who is established is not starved.
    def test_syn_at_full_speed(self):
        with Siege("--connections", SMALL) as siege:
            sent = sent_of(ended(siege.start_flood("syn", PORT, 10**9, SECONDS)))
            note("SYN flood at full speed", frames=sent, longest_stall_ms=siege.figures()["longest_ms"])
            siege.check_streams(self)

    def test_acknowledged_with_a_wrong_checksum(self):
        with Siege("--connections", SMALL) as siege:
            siege.check_flood(self, "SYN and ACK with a wrong checksum", "half", PORT, RATE, SECONDS)

    def test_acknowledged_without_an_answer(self):
        with Siege("--connections", SMALL) as siege:
            lab = siege.lab
            # A neighbour that is known and does not exist.
            lab.ip("lb", "neigh", "add", NOWHERE, "lladdr", "02:00:00:00:99:99", "dev", "back", "nud", "permanent")
            lab.adm(f"-A -t {lab.vip}:{SILENT} -s rr")
            lab.adm(f"-a -t {lab.vip}:{SILENT} -r {NOWHERE}:{SILENT} -m")
            siege.check_flood(self, "SYN and ACK, server silent", "handshake", SILENT, RATE, SECONDS)

    def test_udp(self):
        with Siege("--connections", SMALL) as siege:
            siege.check_flood(self, "one datagram of each source", "udp", PORT, RATE, SECONDS)

    def test_trickle_into_persistence(self):
        with Siege("--connections", SMALL, "--templates", "1024") as siege:
            lab = siege.lab
            service = f"{lab.vip}:{PERSISTENT}"
            lab.adm(f"-A -t {service} -s rr -p 300")
            for i in range(lab.servers):
                lab.adm(f"-a -t {service} -r {lab.server_address(i)}:{PORT} -m")
            sources = [f"10.64.1.{i}" for i in range(1, 201)]
            lab.inside("client", "ip", "-batch", "-", input="".join(f"addr add {source}/32 dev eth0\n" for source in sources))
            for name in ("lb", *(f"server{i}" for i in range(lab.servers))):
                via = lab.client if name == "lb" else lab.back
                lab.ip(name, "route", "add", "10.64.1.0/24", "via", via)
            siege.check_flood(self, "trickle of SYNs into persistence", "syn", PERSISTENT, TRICKLE, SECONDS, PERSISTENT, sources)

    def test_resets_are_limited(self):
        with Siege("--connections", SMALL) as siege:
            lab = siege.lab
            # Answers have a way, or nothing would be limited.
            lab.ip("lb", "route", "add", "10.128.0.0/9", "via", lab.client)
            for policy in ("reset", "icmp"):
                port = NOBODY + (policy == "icmp")
                lab.adm(f"-A -t {lab.vip}:{port} -s rr --no-destination {policy}")
                before = siege.counters()
                begin = time.monotonic()
                sent = sent_of(ended(siege.start_flood("syn", port, RATE, 3)))
                seconds = time.monotonic() - begin
                counters = siege.counters()
                answers = sum(counters[name] - before[name] for name in ("sent_reset", "sent_icmp"))
                note(f"a service without servers, {policy}", frames=sent, answers=answers, answers_a_second=round(answers / seconds))
                self.assertGreater(counters["refused_no_destination"] - before["refused_no_destination"], 0)
                with self.subTest(policy):
                    self.assertLess(answers, sent / 8, "answers are limited, whatever the rate")
            siege.check_streams(self)


if __name__ == "__main__":
    main(print_figures)
