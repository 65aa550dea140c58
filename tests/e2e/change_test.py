"""Configuration changes while traffic runs."""

import unittest

from common import SILENCE, VIP, Lab, Load, Talk, main, run, start_talk_servers, wait_until


class ChangeTest(unittest.TestCase):
    def test_hundreds_of_changes_a_second_hurt_nobody(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            with Load(lab) as load:
                servers = [lab.server_address(i) for i in range(3)]
                churn = run(lab.build / "bin/api_client", lab.socket, "churn", 200, 5, VIP, *servers, timeout=300)
            self.assertTrue(churn.stdout.startswith("1000 changes, 1000 generations"), churn.stdout)
            self.assertEqual(load.result["failures"], {})
            self.assertEqual(set(load.result["answers"]), {"server 0", "server 1", "server 2"})
            print(f"{sum(load.result['answers'].values())} requests during 1000 changes")

    def test_what_happens_to_open_connections(self):
        with Lab() as lab:
            start_talk_servers(lab, 7)
            lab.start_sluiced()
            lab.add_service(port=7)
            # rr begins with the server added last.
            talks = {}
            for name in ("server 2", "server 1", "server 0"):
                talks[name] = Talk(lab, 7)
                self.assertEqual(talks[name].ask("hello"), f"{name}: hello")

            # Weight 0 keeps what is there and gets nothing new.
            lab.adm(f"-e -t {VIP}:7 -r {lab.server_address(1)}:7 -m -w 0")
            self.assertEqual(talks["server 1"].ask("still there"), "server 1: still there")
            newcomers = [Talk(lab, 7) for _ in range(4)]
            self.assertEqual({talk.ask("new") for talk in newcomers}, {"server 0: new", "server 2: new"})

            # A removed server's connections fall silent, as in IPVS; others do not notice.
            lab.adm(f"-d -t {VIP}:7 -r {lab.server_address(2)}:7")
            self.assertEqual(talks["server 2"].ask("lost", patience=SILENCE), "silence")
            self.assertEqual(talks["server 0"].ask("fine"), "server 0: fine")
            self.assertEqual(talks["server 1"].ask("fine"), "server 1: fine")
            self.assertTrue(wait_until(lambda: lab.info()["counters"]["drop_destination_removed"] > 0))

            # Put back before they timed out, they go on.
            lab.adm(f"-a -t {VIP}:7 -r {lab.server_address(2)}:7 -m")
            self.assertTrue(talks["server 2"].ask("back").startswith("server 2: "))

            # Without the service nothing of it goes on, and a connection to it is refused by the host.
            lab.adm(f"-D -t {VIP}:7")
            self.assertEqual(talks["server 0"].ask("gone", patience=SILENCE), "silence")
            refused = lab.inside("client", "curl", "-s", "--max-time", "30", f"http://{VIP}:7/", check=False)
            self.assertEqual(refused.returncode, 7, "curl: connection refused")

    def test_statistics_and_counts(self):
        with Lab() as lab:
            start_talk_servers(lab, 7)
            lab.start_sluiced()
            lab.add_service(port=7, scheduler="wlc")
            talks = [Talk(lab, 7) for _ in range(6)]
            for talk in talks:
                self.assertIn(": one", talk.ask("one"))
            table = lab.adm("-Ln").stdout
            for i in range(3):
                self.assertIn(f"  -> {lab.server_address(i) + ':7':28} Masq    1      2          0         \n", table)
            connections = lab.adm("-L -n -c").stdout.splitlines()[2:]
            self.assertEqual(len(connections), 6)
            for line in connections:
                self.assertRegex(line, r"^TCP 1[45]:\d\d  ESTABLISHED 10\.64\.0\.2:\d+ +10\.99\.0\.1:7 +10\.65\.0\.1[123]:7$")
            for talk in talks:
                talk.close()
            self.assertTrue(wait_until(lambda: "Masq    1      0          2         " in lab.adm("-Ln").stdout))
            # What a removed server has counted stays in its service's sum.
            before = lab.adm(f"-Ln -t {VIP}:7 --stats --exact").stdout.splitlines()[2]
            lab.adm(f"-d -t {VIP}:7 -r {lab.server_address(2)}:7")
            self.assertEqual(lab.adm(f"-Ln -t {VIP}:7 --stats --exact").stdout.splitlines()[2], before)


if __name__ == "__main__":
    main()
