"""Clients that stay with their server, services by mark and of every port, drains, and rates; with real clients."""

import unittest

from common import VIP, Lab, Talk, ask_udp, main, start_talk_servers, start_udp_servers, wait_until

OTHER_CLIENT = "10.64.0.3"


def add_other_client(lab):
    lab.ip("client", "addr", "add", f"{OTHER_CLIENT}/24", "dev", "eth0")


def fetch_from(lab, source, port=80, address=VIP):
    return lab.inside("client", "curl", "-s", "--max-time", "30", "--interface", source, f"http://{address}:{port}/", check=False).stdout.strip()


class PersistenceTest(unittest.TestCase):
    def test_clients_stay_with_their_server(self):
        with Lab() as lab:
            add_other_client(lab)
            lab.start_http_servers()
            lab.start_sluiced("--workers", "1")
            lab.adm(f"-A -t {VIP}:80 -s rr -p 60")
            for i in range(3):
                lab.adm(f"-a -t {VIP}:80 -r {lab.server_address(i)}:80 -m")
            mine = {lab.fetch() for _ in range(6)}
            others = {fetch_from(lab, OTHER_CLIENT) for _ in range(6)}
            self.assertEqual((len(mine), len(others)), (1, 1))
            self.assertNotEqual(mine, others)
            self.assertIn("persistent 60", lab.adm("-Ln").stdout)
            self.assertRegex(lab.adm("-Lnc").stdout, r"TCP 0[01]:\d\d  ASSURED     10\.64\.0\.2:0 +10\.99\.0\.1:80 +10\.65\.0\.1[123]:80\n")
            self.assertEqual(lab.adm("-Ln --persistent-conn").stdout.count(" 1           "), 2)

            # A quiesced server keeps its clients until expire_quiescent_template says otherwise.
            number = int(next(iter(mine)).split()[1])
            lab.adm(f"-e -t {VIP}:80 -r {lab.server_address(number)}:80 -m -w 0")
            self.assertEqual({lab.fetch()}, mine)
            lab.adm("--set-sysctl expire_quiescent_template=1")
            self.assertNotEqual({lab.fetch()}, mine)

    def test_every_port_and_marks(self):
        with Lab() as lab:
            lab.ip("lb", "addr", "add", "10.99.0.2/32", "dev", "lo")
            for port in (80, 81):
                lab.start_http_servers(port)
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:0 -s rr -p 60")
            for i in range(3):
                lab.adm(f"-a -t {VIP}:0 -r {lab.server_address(i)}:0 -m")
            answers = {lab.fetch(port) for port in (80, 81, 80, 81)}
            self.assertEqual(len(answers), 1, "one server for all ports")
            self.assertRegex(next(iter(answers)), r"server \d")
            lab.adm(f"-D -t {VIP}:0")

            lab.adm("--add-fwmark-rule 7,tcp,10.99.0.0/24,80-89")
            lab.adm("-A -f 7 -s rr")
            for i in range(3):
                lab.adm(f"-a -f 7 -r {lab.server_address(i)}:0 -m")
            seen = [fetch_from(lab, "10.64.0.2", port, address) for address in (VIP, "10.99.0.2") for port in (80, 81, 80)]
            self.assertEqual(sorted(seen), sorted([f"server {i}" for i in range(3)] * 2))
            self.assertEqual(lab.adm("-L --fwmark-rules").stdout, "7,tcp,10.99.0.0/24,80-89\n")
            refused = lab.inside("client", "curl", "-s", "--max-time", "30", f"http://{VIP}:99/", check=False)
            self.assertEqual(refused.returncode, 7, "not in the rule: the host's")
            lab.adm("-D -f 7")
            refused = lab.inside("client", "curl", "-s", "--max-time", "30", f"http://{VIP}:80/", check=False)
            self.assertEqual(refused.returncode, 7, "a mark without a service is no mark")

    def test_a_drain_with_a_deadline(self):
        with Lab() as lab:
            start_talk_servers(lab, 7)
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:7 -s rr --drain 3")
            for i in range(3):
                lab.adm(f"-a -t {VIP}:7 -r {lab.server_address(i)}:7 -m")
            talks = {}
            for _ in range(3):
                talk = Talk(lab, 7)
                talks[talk.ask("hello").split(":")[0]] = talk
            lab.adm(f"-e -t {VIP}:7 -r {lab.server_address(1)}:7 -m -w 0")
            self.assertEqual(talks["server 1"].ask("still there"), "server 1: still there")
            self.assertTrue(wait_until(lambda: lab.info()["counters"]["connections_reset"] > 0))
            self.assertEqual(talks["server 1"].ask("too late"), "closed", "a reset, not silence")
            self.assertEqual(talks["server 0"].ask("fine"), "server 0: fine")
            self.assertEqual(talks["server 2"].ask("fine"), "server 2: fine")
            self.assertGreater(lab.info()["counters"]["sent_reset"], 0)

    def test_udp_flows_of_a_removed_server_go_on_elsewhere(self):
        with Lab() as lab:
            start_udp_servers(lab, 53)
            lab.start_sluiced()
            lab.add_service(port=53, protocol="-u")

            def ask():
                return ask_udp(lab, VIP, 53, 30)

            self.assertEqual(ask(), {f"server {i}": 10 for i in range(3)})
            lab.adm(f"-d -u {VIP}:53 -r {lab.server_address(1)}:53")
            # The same thirty flows: nobody waits for a connection to expire.
            self.assertEqual(ask(), {"server 0": 15, "server 2": 15})
            self.assertEqual(lab.info()["counters"]["connections_rescheduled"], 10)

    def test_rates_settings_and_timeouts_of_a_service(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:80 -s rr --timeout-tcpfin 33")
            lab.adm(f"-a -t {VIP}:80 -r {lab.server_address(0)}:80 -m")
            # Requests go on until a rate is seen: it is of the last seconds only.
            rate = lambda: lab.fetch() and int(lab.adm(f"-Ln -t {VIP}:80 --rate --exact").stdout.splitlines()[2].split()[2])
            self.assertTrue(wait_until(lambda: rate() > 0))
            lab.adm("--set-sysctl drop_packet=3")
            lab.adm("--set-sysctl am_droprate=1")
            settings = lab.adm("-L --sysctl").stdout
            self.assertIn("drop_packet = 3\n", settings)
            self.assertIn("conn_reuse_mode = 1\n", settings)
            self.assertEqual(lab.fetch(timeout=1), "", "everything that would open a connection is dropped")
            self.assertTrue(wait_until(lambda: lab.info()["counters"]["drop_defence"] > 0))
            lab.adm("--set-sysctl drop_packet=0")
            self.assertEqual(lab.fetch(), "server 0")


if __name__ == "__main__":
    main()
