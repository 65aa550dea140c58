"""Dedicated ports: DPDK devices of Sluice's own, with twins in the kernel."""

import os
import unittest
from pathlib import Path

from common import BACK, FRONT, Lab, main, pings_lost


class DedicatedTest(unittest.TestCase):
    def test_forwarding_between_two_devices(self):
        # Two taps of DPDK's; a bridge for each is the cable to the client's network, and to the servers'.
        with Lab(servers=1) as lab:
            tag = os.getpid() % 10000
            devices = [f"net_tap{i},iface=far{tag}{i}" for i in (0, 1)]
            lab.start_sluiced(*[word for device in devices for word in ("--port", device)], interfaces=[])
            for i, (interface, twin_address) in enumerate((("front", FRONT), ("back", BACK))):
                lab.ip("lb", "addr", "flush", "dev", interface)
                lab.ip("lb", "link", "add", f"cable{i}", "type", "bridge", "forward_delay", "0")
                lab.inside("lb", "sysctl", "-qw", f"net.ipv4.conf.cable{i}.arp_ignore=8")
                lab.ip("lb", "link", "set", interface, "master", f"cable{i}")
                # Not the port's own address: the bridge would keep for itself what is for it.
                lab.ip("lb", "link", "set", f"far{tag}{i}", "address", f"02:00:00:00:fa:0{i}", "master", f"cable{i}", "up")
                lab.ip("lb", "link", "set", f"cable{i}", "up")
                lab.ip("lb", "addr", "add", f"{twin_address}/24", "dev", f"sluice{i}")
            lab.start_http("server0", lab.server_address(0), 80, "server 0")
            lab.start_http("lb", FRONT, 8080, "the host")
            lab.add_service()

            # ARP, ping and TCP to the host go through the twin, both ways.
            self.assertEqual(pings_lost(lab, "client", FRONT), 0)
            self.assertEqual(lab.inside("client", "curl", "-s", "--max-time", "30", f"http://{FRONT}:8080/").stdout.strip(), "the host")
            for _ in range(20):
                self.assertEqual(lab.fetch(), "server 0")
            counters = lab.info()["counters"]
            self.assertGreater(counters["from_kernel"], 0)
            self.assertEqual(counters["connections_created"], 20)
            self.assertEqual([port["kernelInterface"] for port in lab.info()["ports"]], ["sluice0", "sluice1"])

            lab.sluiced.terminate()
            self.assertEqual(lab.sluiced.wait(timeout=60), 0)
            self.assertNotIn("sluice", lab.ip("lb", "-o", "link").stdout)

    def test_a_device_that_is_too_narrow(self):
        with Lab(servers=1) as lab:  # tests/nic has one that is not
            with self.assertRaisesRegex(RuntimeError, r"net_tap0.*--mtu 9000: the device takes \d+\.\.1504"):
                lab.start_sluiced("--mtu", "9000", "--port", f"net_tap0,iface=big{os.getpid() % 10000}", interfaces=[])

    def test_devices_and_drivers_from_outside(self):
        # EAL arguments pass through: a plugin loaded by -d, a device that the EAL itself made.
        plugin = sorted(Path("/usr/lib").glob("*/dpdk/pmds-*/librte_net_null.so*"))[0]
        with Lab(servers=1) as lab:
            lab.start_sluiced("--eal=-d", f"--eal={plugin}", "--eal=--vdev=net_null0,no-rx=1", "--port", "net_null0", interfaces=[])
            self.assertEqual([(port["name"], port["driver"]) for port in lab.info()["ports"]], [("net_null0", "net_null")])

    def test_an_interface_that_disappears(self):
        # Nothing can be forwarded, but sluiced answers and ends as it should.
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            self.assertRegex(lab.fetch(), "server [012]")
            lab.ip("lb", "link", "del", "back")
            self.assertEqual(lab.fetch(timeout=1), "")
            self.assertIn("10.99.0.1:80 rr", lab.adm("-Ln").stdout)
            lab.sluiced.terminate()
            self.assertEqual(lab.sluiced.wait(timeout=60), 0)

    def test_a_device_that_is_not_there(self):
        with Lab(servers=1) as lab:
            with self.assertRaisesRegex(RuntimeError, "net_af_packet0"):
                lab.start_sluiced("--port", "net_af_packet0,iface=nope", interfaces=[])


if __name__ == "__main__":
    main()
