"""The host changes under Sluice: XDP programs, MAC addresses, interfaces that go, come back, or are renamed."""

import json
import os
import signal
import socket
import struct
import time
import unittest

from common import CLIENT, FRONT, VIP, Lab, Talk, in_namespace, main, run, start_talk_servers, wait_until

ROUNDS = 20
STREAMS = 20
OTHER = """
__attribute__((section("xdp"))) int other(void* context) { return 2; }
char _license[] __attribute__((section("license"))) = "GPL";
"""


class HostChangesTest(unittest.TestCase):
    def start(self, lab, *options):
        start_talk_servers(lab, 7)
        lab.start_sluiced(*options)
        lab.add_service(port=7)
        self.assert_served(lab)

    def assert_served(self, lab):
        """A new connection over the workers."""
        def is_served():
            before = lab.info()["counters"]["sent"]
            try:
                talk = Talk(lab, 7)
            except OSError:
                return False
            answer = talk.ask("hello", patience=10)
            talk.close()
            return answer.endswith(": hello") and lab.info()["counters"]["sent"] > before

        self.assertTrue(wait_until(is_served), f"no server answers\n{lab.log_text()}\n{lab.sluice('status').stdout}")

    def port(self, lab, name):
        return next((port for port in lab.info()["ports"] if port["name"] == name), None)

    def readiness(self, lab):
        """Status and text."""
        fetched = lab.inside("lb", "curl", "-s", "-m", "60", "-w", "\\n%{http_code}", "http://127.0.0.1:9909/readyz", check=False)
        text, _, status = fetched.stdout.rpartition("\n")
        return int(status), text

    def doctor(self, lab, interface):
        return lab.inside("lb", lab.build / "bin/sluice", "doctor", "--interface", interface, "--server", lab.socket, check=False).stdout

    def attach_other(self, lab, interface="front"):
        (lab.folder / "other.c").write_text(OTHER)
        run("clang", "-O2", "-g", "-target", "bpf", "-c", lab.folder / "other.c", "-o", lab.folder / "other.o")
        lab.ip("lb", "-force", "link", "set", "dev", interface, "xdpdrv", "obj", lab.folder / "other.o", "sec", "xdp")

    def program(self, lab, interface="front"):
        """Id of the XDP program that is attached; 0: none."""
        link = json.loads(lab.ip("lb", "-j", "-d", "link", "show", interface).stdout)[0]
        return link.get("xdp", {}).get("prog", {}).get("id", 0)

    def test_a_detached_program_is_attached_again(self):
        with Lab() as lab:
            self.start(lab)
            for times in range(1, 4):
                lab.ip("lb", "link", "set", "dev", "front", "xdpdrv", "off")
                self.assert_served(lab)
                self.assertTrue(wait_until(lambda: lab.info()["counters"]["xdp_reattached"] == times))
            self.assertEqual(self.readiness(lab)[0], 200)

    def test_a_program_of_somebody_else_is_named_and_left_alone(self):
        with Lab() as lab:
            self.start(lab)
            self.attach_other(lab)
            # Asked at once: it is measured, not remembered.
            status, text = self.readiness(lab)
            self.assertEqual(status, 503, text)
            other = self.program(lab)
            self.assertTrue(wait_until(lambda: f'"other" (id {other})' in lab.sluice("status").stdout))
            for said in (self.readiness(lab)[1], self.doctor(lab, "front"), lab.log_text()):
                self.assertIn(f'"other" (id {other})', said)
            self.assertNotIn("Nothing to worry about", lab.sluice("status").stdout)
            metrics = lab.inside("lb", "curl", "-s", "http://127.0.0.1:9909/metrics").stdout
            self.assertIn('sluice_port_attached{port="front"} 0', metrics)
            self.assertIn('sluice_port_attached{port="back"} 1', metrics)
            # Nothing is to happen now: some rounds of the watch go by.
            time.sleep(0.5)
            self.assertEqual(self.program(lab), other)
            self.assertEqual(lab.log_text().count('"other"'), 1, "said once")
            lab.ip("lb", "link", "set", "dev", "front", "xdpdrv", "off")
            self.assert_served(lab)
            self.assertTrue(wait_until(lambda: self.readiness(lab)[0] == 200))
            self.assertIn("Nothing to worry about", lab.sluice("status").stdout)

    def test_the_end_removes_no_program_of_somebody_else(self):
        with Lab() as lab:
            self.start(lab)
            self.attach_other(lab)
            other = self.program(lab)
            lab.sluiced.terminate()
            self.assertEqual(lab.sluiced.wait(timeout=60), 0)
            self.assertEqual(self.program(lab), other)
            self.assertEqual(self.program(lab, "back"), 0, "our own has gone")

    def test_the_mac_address_changes(self):
        with Lab() as lab:
            self.start(lab)
            talk = Talk(lab, 7)
            server = talk.ask("before").partition(":")[0]
            for last in (1, 2):
                mac = f"02:00:00:00:66:0{last}"
                lab.ip("lb", "link", "set", "front", "address", mac)
                # The client's neighbour is renewed by hand, and the host's ARP follows by itself.
                lab.ip("client", "neigh", "replace", FRONT, "lladdr", mac, "dev", "eth0")
                self.assertEqual(talk.ask(f"at {last}"), f"{server}: at {last}")
                self.assertTrue(wait_until(lambda: self.port(lab, "front")["macAddress"] == mac))
                self.assert_served(lab)
            # Packets that only a worker can tell from its own reach the host over an interface that has the new address, too.
            lab.start_http("lb", VIP, 80, "the host")
            self.assertEqual(lab.fetch(), "the host")
            slk = json.loads(lab.ip("lb", "-j", "link", "show").stdout)
            self.assertEqual([each["address"] for each in slk if each["ifname"].startswith("slk")].count(mac), 1)

    def make_front(self, lab, queues=None):
        """The client's cable as the lab makes it."""
        many = f"numrxqueues {queues or lab.queues} numtxqueues {queues or lab.queues}"
        lab.ip("lb", *f"link add front {many} type veth peer name eth0 netns {lab.ns('client')} {many}".split())
        for name, interface, address in (("lb", "front", FRONT), ("client", "eth0", CLIENT)):
            features = (f"{word} off".split() for word in ("tx", "tso", "gso", "gro", "txvlan", "rxvlan"))
            lab.inside(name, "ethtool", "-K", interface, *(word for feature in features for word in feature))
            lab.ip(name, "addr", "add", f"{address}/24", "dev", interface)
            lab.ip(name, "link", "set", interface, "up")
        lab.ip("client", "route", "add", "10.99.0.0/24", "via", FRONT)

    def test_an_interface_is_deleted_and_made_again(self):
        with Lab() as lab:
            self.start(lab)

            def descriptors():
                return len(os.listdir(f"/proc/{lab.sluiced.pid}/fd"))  # `ip netns exec` becomes the program itself

            counts = []
            for _ in range(ROUNDS):
                lab.ip("lb", "link", "del", "front")
                self.assertTrue(wait_until(lambda: "gone" in self.port(lab, "front").get("trouble", "")), lab.info()["ports"])
                self.assertIn("front", self.readiness(lab)[1])
                self.make_front(lab)
                self.assertTrue(wait_until(lambda: not self.port(lab, "front").get("trouble")), lab.info()["ports"])
                self.assert_served(lab)
                counts.append(descriptors())
            # The first time makes what stays; connections of gRPC come and go.
            self.assertLessEqual(max(counts[1:]) - min(counts[1:]), 2, counts)
            counters = lab.info()["counters"]
            self.assertEqual(counters["port_taken_again"], ROUNDS)
            self.assertEqual(counters["buffers_lost"], 0)
            self.assertEqual(self.readiness(lab)[0], 200)

    def test_one_that_comes_back_with_other_queues_is_not_taken(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two CPUs")
        with Lab(queues=2) as lab:
            self.start(lab, "--workers", "2")
            lab.ip("lb", "link", "del", "front")
            self.make_front(lab, queues=3)
            self.assertTrue(wait_until(lambda: "with 3 queues, and Sluice has had 2" in self.port(lab, "front").get("trouble", "")))
            self.assertRegex(lab.sluice("status").stdout, "front .*gone")
            lab.ip("lb", "link", "del", "front")
            self.make_front(lab)
            self.assertTrue(wait_until(lambda: not self.port(lab, "front").get("trouble")), lab.info()["ports"])
            self.assert_served(lab)
            self.assertEqual(lab.info()["counters"]["buffers_lost"], 0)

    def test_a_renamed_interface_goes_on_under_its_new_name(self):
        with Lab() as lab:
            self.start(lab)
            talk = Talk(lab, 7)
            self.assertTrue(talk.ask("before").endswith(": before"))
            lab.ip("lb", "link", "set", "front", "down")
            lab.ip("lb", "link", "set", "front", "name", "uplink")
            lab.ip("lb", "link", "set", "uplink", "up")
            self.assertTrue(wait_until(lambda: (self.port(lab, "uplink") or {}).get("linkUp")), lab.info()["ports"])
            self.assertTrue(talk.ask("after").endswith(": after"))
            self.assertIn("uplink", lab.sluice("status").stdout)
            self.assertIn("Nothing to worry about", lab.sluice("status").stdout)
            # Another sluiced does not take it for a leftover.
            refused = lab.inside("lb", lab.build / "bin/sluiced", "--interface", "uplink", "--listen", f"unix:{lab.folder}/other.sock",
                                 "--state", "none", "--metrics", "none", check=False)
            self.assertIn("another sluiced", refused.stderr)

    def test_one_that_stays_away_is_no_reason_not_to_be_ready(self):
        with Lab() as lab:
            self.start(lab)
            lab.ip("lb", "link", "del", "front")
            self.assertTrue(wait_until(lambda: "gone" in self.readiness(lab)[1]))
            self.assertEqual(self.readiness(lab)[0], 200, "the other serves")
            self.assertRegex(lab.sluice("status").stdout, "front .*gone")
            lab.ip("lb", "link", "del", "back")
            self.assertTrue(wait_until(lambda: self.readiness(lab)[0] == 503))

    def test_streams_survive_a_worker_that_stands_still(self):
        # The host has the services' address, and no IPVS to go on with: it would answer by resets.
        with Lab(heartbeat_limit_ms=None) as lab:
            self.start(lab)
            talks = [Talk(lab, 7) for _ in range(STREAMS)]
            self.assertTrue(all(talk.ask("begin").endswith(": begin") for talk in talks))

            def stand_still(seconds, say_after):
                lab.sluiced.send_signal(signal.SIGSTOP)
                time.sleep(say_after)
                for talk in talks:
                    talk.say("on")
                time.sleep(seconds - say_after)
                lab.sluiced.send_signal(signal.SIGCONT)
                self.assertEqual([talk.hear().partition(": ")[2] for talk in talks], ["on"] * STREAMS, lab.info()["counters"])

            for seconds in [0.3] + [0.5] * 10:
                stand_still(seconds, 0.15)
            # Longer than any worker allows itself, however busy this machine is: what comes then is dropped.
            stand_still(2.5, 2.2)
            info = lab.info()
            self.assertFalse(info["passesStalled"])
            self.assertGreater(info["counters"]["xdp_stale_dropped"], 0)
            self.assertEqual(info["counters"]["xdp_stale"], 0)
            limits = [worker["heartbeatLimitSeconds"] for worker in info["workerInfos"]]
            self.assertTrue(all(0.1 < limit <= 2 for limit in limits), f"raised, and bounded: {limits}")

    def test_frames_of_vlans_that_the_host_is_not_in_are_left_alone(self):
        with Lab(servers=1) as lab:
            self.start(lab)
            mac = bytes.fromhex(self.port(lab, "front")["macAddress"].replace(":", ""))
            addresses = socket.inet_aton(CLIENT) + socket.inet_aton(VIP)
            ip = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + addresses)
            total = sum(struct.unpack("!10H", ip))
            ip[10:12] = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
            segment = struct.pack("!HHIIBBHHH", 5555, 7, 1, 0, 0x50, 2, 1000, 0, 0)

            def send(tag):
                def work():
                    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                        raw.bind(("eth0", 0))
                        raw.send(mac + b"\2\0\0\0\0\1" + (b"" if tag is None else struct.pack("!HH", 0x8100, tag)) +
                                 b"\x08\x00" + bytes(ip) + segment)

                in_namespace(lab.ns("client"), work)

            def steered():
                return lab.info()["counters"]["xdp_steered"]

            def is_steered_once(tag, seconds=60):
                before = steered()
                send(tag)
                return wait_until(lambda: steered() == before + 1, seconds)

            # Frames keep their order: the untagged one shows that the tagged before it have come.
            before = steered()
            send(7)
            send(9)
            self.assertTrue(is_steered_once(None))
            self.assertEqual(steered(), before + 1)
            self.assertTrue(is_steered_once(0x6000), "a priority tag is no VLAN")
            added = lab.inside("lb", *"ip link add link front name front.7 type vlan id 7".split(), check=False)
            if "Unknown device type" in added.stderr:
                return  # this kernel has no VLANs; steering_test shows the rest
            self.assertEqual(added.returncode, 0, added.stderr)
            lab.ip("lb", "link", "set", "front.7", "up")
            self.assertTrue(wait_until(lambda: is_steered_once(7, seconds=1)))
            before = steered()
            send(9)
            self.assertTrue(is_steered_once(None))
            self.assertEqual(steered(), before + 1)


if __name__ == "__main__":
    main()
