"""The network around Sluice changes: neighbours, routes, links."""

import unittest

from common import BACK, SILENCE, VIP, Lab, Talk, main, pings_lost, start_talk_servers, wait_until

# A real server that two machines can be.
MOVING = "10.70.0.1"


class NetworkTest(unittest.TestCase):
    def test_a_neighbour_changes_its_mac_address(self):
        with Lab() as lab:
            start_talk_servers(lab, 7)
            lab.start_sluiced()
            lab.add_service(port=7, servers=[0])
            talk = Talk(lab, 7)
            self.assertEqual(talk.ask("before"), "server 0: before")
            lab.ip("server0", "link", "set", "eth0", "down")
            lab.ip("server0", "link", "set", "eth0", "address", "02:00:00:00:77:01")
            lab.ip("server0", "link", "set", "eth0", "up")
            lab.ip("server0", "route", "add", "default", "via", BACK)
            # It speaks, and so the balancer's kernel learns the new address.
            lab.inside("server0", "ping", "-c", "1", "-W", "30", BACK)
            self.assertTrue(talk.ask("after").startswith("server 0: "))

    def test_an_unresolved_neighbour_is_resolved_by_the_kernel(self):
        with Lab() as lab:
            start_talk_servers(lab, 7)
            lab.start_sluiced()
            lab.add_service(port=7, servers=[0])
            self.assertEqual(Talk(lab, 7).ask("first"), "server 0: first")
            for interface in ("front", "back"):
                lab.ip("lb", "neigh", "flush", "dev", interface)
            self.assertEqual(Talk(lab, 7).ask("second"), "server 0: second")
            # From then on packets need no help.
            self.assertTrue(wait_until(lambda: lab.server_address(0) in lab.ip("lb", "neigh", "show", "nud", "reachable").stdout))

    def test_the_largest_mtu_that_may_be_shared(self):
        with Lab(servers=1) as lab:
            for name, interface in (("client", "eth0"), ("lb", "front")):
                lab.ip(name, "link", "set", interface, "mtu", "1766")
            lab.start_sluiced()
            lab.add_service()
            self.assertEqual(pings_lost(lab, "client", VIP, "-M", "do", "-s", str(1766 - 28)), 0)
            self.assertEqual(lab.info()["counters"]["echo_answered"], 3)

    def test_a_route_moves(self):
        with Lab() as lab:
            for i in (0, 1):
                lab.ip(f"server{i}", "addr", "add", f"{MOVING}/32", "dev", "lo")
                lab.start_http(f"server{i}", MOVING, 80, f"server {i}")
            lab.ip("lb", "route", "add", f"{MOVING}/32", "via", lab.server_address(0))
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:80 -s rr")
            lab.adm(f"-a -t {VIP}:80 -r {MOVING}:80 -m")
            self.assertEqual(lab.fetch(), "server 0")
            lab.ip("lb", "route", "replace", f"{MOVING}/32", "via", lab.server_address(1))
            self.assertTrue(wait_until(lambda: lab.fetch() == "server 1"))
            lab.ip("lb", "route", "del", f"{MOVING}/32")
            # Told by the counter when it has come to sluiced; until then an answer may still be on its way.
            self.assertTrue(wait_until(lambda: lab.fetch(timeout=1) == "" and lab.info()["counters"]["drop_no_route"] > 0))

    def test_an_interface_goes_down_and_comes_back(self):
        with Lab() as lab:
            start_talk_servers(lab, 7)
            lab.start_sluiced()
            lab.add_service(port=7, servers=[0])
            talk = Talk(lab, 7)
            self.assertEqual(talk.ask("before"), "server 0: before")
            lab.ip("lb", "link", "set", "back", "down")
            self.assertEqual(talk.ask("down", patience=SILENCE), "silence")
            self.assertTrue(wait_until(lambda: lab.info()["counters"]["drop_no_route"] > 0))
            self.assertTrue(wait_until(lambda: not next(port for port in lab.info()["ports"] if port["name"] == "back")["linkUp"]))
            lab.ip("lb", "link", "set", "back", "up")
            self.assertTrue(talk.ask("up").startswith("server 0: "))


if __name__ == "__main__":
    main()
