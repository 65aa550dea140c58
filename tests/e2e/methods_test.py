"""Forwarding methods with real clients and servers: direct routing and tunnels, where servers answer by themselves."""

import os
import subprocess
import unittest

from common import HERE, PYTHON, VIP, Lab, ask_udp, http_load, main, run, start_udp_servers, wait_until


def be_a_direct_server(lab, i):
    """The service's address on the loopback, silently; answers do not go through the balancer."""
    name = f"server{i}"
    lab.inside(name, "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
    lab.ip(name, "addr", "add", f"{lab.vip}/{lab.host_bits}", "dev", "lo")
    lab.ip(name, "route", "del", f"{lab.client}/{lab.host_bits}")
    lab.start_http(name, lab.vip, 80, f"server {i}", wait=False)


def be_direct_servers(lab):
    for i in range(3):
        be_a_direct_server(lab, i)
    for i in range(3):
        lab.wait_for_listener(f"server{i}", 80)


class MethodsTest(unittest.TestCase):
    def assert_served(self, lab, method):
        answers = [lab.fetch() for _ in range(6)]
        self.assertEqual(sorted(answers), sorted([f"server {i}" for i in range(3)] * 2), method)
        # A longer answer, so that the connection has some packets.
        totals = lab.adm(f"-Ln -t {lab.endpoint(lab.vip, 80)} --stats --exact").stdout.splitlines()[2].split()
        self.assertGreater(int(totals[3]), 20, "packets of clients")
        self.assertEqual(int(totals[4]), 0, "and none of servers")

    def serve(self, lab, words):
        service = lab.endpoint(lab.vip, 80)
        lab.adm(f"-A -t {service} -s rr")
        for i in range(3):
            server = lab.server_address(i)
            lab.adm(f"-a -t {service} -r {server if lab.family == 4 else f'[{server}]:80'} {words}")

    def test_direct_routing(self):
        for family in (4, 6):
            with self.subTest(family=family), Lab(one_arm=True, family=family) as lab:
                be_direct_servers(lab)
                lab.start_sluiced()
                self.serve(lab, "-g")
                self.assert_served(lab, "direct routing")
                self.assertIn("Route   1 ", lab.adm("-Ln").stdout)
                # A server whose MAC address nobody knows yet: the kernel finds it out.
                lab.ip("lb", "neigh", "flush", "dev", "front")
                self.assertIn("server", lab.fetch())

    def test_tunnels(self):
        kinds = (("ipip", "-i"), ("gre", "-i --tun-type gre --tun-csum"), ("gue", "-i --tun-type gue --tun-port 6080 --tun-csum"))
        for family in (4, 6):
            with Lab(one_arm=True, family=family) as lab:
                be_direct_servers(lab)
                lab.start_sluiced()
                for kind, words in kinds:
                    with self.subTest(kind, family=family):
                        # Only this kind is taken out, so that nothing of another is served.
                        ends = [lab.start(f"server{i}", PYTHON, HERE / "decapsulate.py", kind, lab.server_address(i), family,
                                          stdout=subprocess.PIPE, text=True) for i in range(3)]
                        for end in ends:
                            self.assertEqual(end.stdout.readline(), "ready\n")
                        self.serve(lab, words)
                        self.assert_served(lab, kind)
                        self.assertIn("Tunnel  ", lab.adm("-Ln --tun-info").stdout)
                        lab.adm("-C")
                        for end in ends:
                            end.terminate()
                            end.communicate()

    def test_full_nat(self):
        """Servers that have no way back to the client but through a local address of the balancer's."""
        for family in (4, 6):
            with self.subTest(family=family), Lab(family=family) as lab:
                lab.start_http_servers()
                local = "10.65.0.100" if family == 4 else "fd65::100"
                lab.ip("lb", "addr", "add", f"{local}/{lab.host_bits}", "dev", "back")
                for i in range(3):
                    lab.ip(f"server{i}", *(["-6"] if family == 6 else []), "route", "del", "default")
                lab.start_sluiced()
                service = lab.endpoint(lab.vip, 80)
                lab.adm(f"-A -t {service} -s rr")
                for i in range(3):
                    lab.adm(f"-a -t {service} -r {lab.endpoint(lab.server_address(i), 80)} --fullnat")
                self.assertEqual(lab.fetch(timeout=1), "")
                self.assertTrue(wait_until(lambda: lab.info()["counters"]["refused_no_local_address"] >= 1))
                lab.adm(f"--add-laddr {local}")
                result = http_load(lab, 3000, 32)
                self.assertEqual(result["failures"], {})
                self.assertEqual(sorted(result["answers"].values()), [1000] * 3)
                self.assertIn("FullNat 1", lab.adm("-Ln").stdout)
                line = lab.adm("-L --laddrs").stdout.splitlines()[1].split()
                self.assertEqual(line[0], local)
                self.assertGreater(int(line[1]), 0)
                self.assertLess(int(line[2]), 64512)
                self.assertEqual(lab.inside("lb", "ping", "-c", "1", lab.server_address(0)).returncode, 0, "the host's own traffic")
                # The host may ask a server in the name of the local address all the same.
                asked = lab.inside("lb", "curl", "-s", "--max-time", "30", "--interface", local, f"http://{lab.endpoint(lab.server_address(0), 80)}/")
                self.assertEqual(asked.stdout.strip(), "server 0")

    def test_full_nat_with_two_workers(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("needs two CPUs")
        for family in (4, 6):
            with self.subTest(family=family), Lab(family=family, queues=2) as lab:
                lab.start_http_servers()
                local = lab.back
                lab.start_sluiced("--workers", "2", "--no-huge")
                service = lab.endpoint(lab.vip, 80)
                lab.adm(f"-A -t {service} -s rr --laddr {local}%back")
                for i in range(3):
                    lab.adm(f"-a -t {service} -r {lab.endpoint(lab.server_address(i), 80)} --fullnat")
                result = http_load(lab, 3000, 32)
                self.assertEqual(result["failures"], {})
                self.assertEqual(sorted(result["answers"].values()), [1000] * 3)

    def test_datagrams_larger_than_packets(self):
        for family in (4, 6):
            with self.subTest(family=family), Lab(family=family) as lab:
                start_udp_servers(lab, 53)
                lab.start_sluiced()
                lab.add_service(port=53, protocol="-u")
                # Up to 8 KiB: six fragments, each way.
                self.assertEqual(ask_udp(lab, lab.vip, 53, 8001, 8000), {f"server {i}": 2667 for i in range(3)})
                self.assertGreater(lab.info()["counters"]["sent"], 40000)

    def test_those_who_are_refused_are_told(self):
        with Lab(servers=1) as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:80 -s rr")
            command = ("curl", "-s", "--max-time", "30", f"http://{VIP}/")
            refused = lab.inside("client", *command, check=False)
            self.assertEqual(refused.returncode, 7, "ICMP: connection refused, at once")
            lab.adm(f"-E -t {VIP}:80 -s rr --no-destination reset")
            self.assertEqual(lab.inside("client", *command, check=False).returncode, 7, "by a reset")
            counters = lab.info()["counters"]
            self.assertGreaterEqual(counters["sent_icmp"], 1)
            self.assertGreaterEqual(counters["sent_reset"], 1)
            lab.adm(f"-E -t {VIP}:80 -s rr --no-destination drop")
            silence = lab.inside("client", "curl", "-s", "--max-time", "1", f"http://{VIP}/", check=False)
            self.assertEqual(silence.returncode, 28, "silence")
            # Not for this client; then for it again.
            lab.adm(f"-E -t {VIP}:80 -s rr --deny 10.64.0.0/24")
            silence = lab.inside("client", "curl", "-s", "--max-time", "1", f"http://{VIP}/", check=False)
            self.assertEqual(silence.returncode, 28)
            self.assertTrue(wait_until(lambda: lab.info()["counters"]["refused_source"] >= 1))
            lab.adm(f"-E -t {VIP}:80 -s rr")
            # Only so many hops.
            lab.adm(f"-a -t {VIP}:80 -r {lab.server_address(0)}:80 -m")
            trace = run("ip", "netns", "exec", lab.ns("client"), PYTHON, HERE / "short_lived.py", VIP, 80).stdout
            self.assertEqual(trace, f"time exceeded, says {VIP}\n")


if __name__ == "__main__":
    main()
