"""The commands of `sluice` that ask sluiced."""

import json
import os
import unittest

from common import VIP, Lab, main, run, wait_until

SERVERS = ", ".join(f'{{"address": "10.65.0.1{i}", "port": 80, "method": "NAT"}}' for i in (1, 2, 3))


def service(port, servers=SERVERS):
    return f'{{"services": [{{"key": {{"protocol": "TCP", "address": "{VIP}", "port": {port}}}, "scheduler": "rr",\n "destinations": [{servers}]}}]}}'


class SluiceTest(unittest.TestCase):
    def sluice(self, lab, *words, status=0):
        result = run(lab.build / "bin/sluice", *words, check=False, env=dict(os.environ, SLUICE_SERVER=lab.socket))
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result

    def test_files(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.adm(f"-A -t {VIP}:99 -s rr")  # the operator's own
            folder = lab.folder / "config"
            folder.mkdir()
            (folder / "a.json").write_text(service(80))
            (folder / "b.json").write_text(service(81))
            (folder / "README").write_text("no configuration")
            told = self.sluice(lab, "diff", "-f", folder, status=1).stdout
            self.assertEqual(len(told.splitlines()), 8)
            self.assertIn(f"added service TCP {VIP}:80\n", told)
            self.assertNotIn("\033", told, "colours are for terminals")
            self.assertEqual(lab.adm("-S -n").stdout, f"-A -t {VIP}:99 -s rr\n")
            self.assertEqual(self.sluice(lab, "apply", "-f", folder).stdout, told)
            self.assertEqual(self.sluice(lab, "diff", "-f", folder).stdout, "")
            self.assertRegex(lab.fetch(), "server [012]")
            # What is no longer in the files goes; what is another's stays.
            (folder / "b.json").unlink()
            self.assertEqual(self.sluice(lab, "apply", "-f", folder).stdout, f"deleted service TCP {VIP}:81\n")
            self.assertIn(f"{VIP}:99", lab.adm("-S -n").stdout)
            # Faults are told with file and line, all of them, and nothing is applied.
            (folder / "b.json").write_text(service(82, '{"address": "10.65.0.11", "port": 80, "weight": 3000000000}'))
            (folder / "c.json").write_text(service(83, '{"address": "10.65.0.11", "port": 80},\n {"address": "nonsense", "port": 80}'))
            refused = self.sluice(lab, "apply", "-f", folder, status=3).stderr
            self.assertIn(f"{folder}/b.json:2: services[0].destinations[0].weight", refused)
            self.assertIn(f"{folder}/c.json:3: services[0].destinations[1].address", refused)
            self.assertNotIn(f"{VIP}:82", lab.adm("-S -n").stdout)
            (folder / "c.json").write_text('{"services": [\n{"kee": 1}]}')
            self.assertIn(f"{folder}/c.json:2: ", self.sluice(lab, "apply", "-f", folder, status=2).stderr)
            # What get says, apply takes.
            everything = self.sluice(lab, "get").stdout
            (lab.folder / "all.json").write_text(everything)
            self.sluice(lab, "apply", "--owner", "cli", "-f", lab.folder / "all.json", status=0)
            self.assertEqual([each["key"]["port"] for each in json.loads(self.sluice(lab, "get").stdout)["services"]], [80, 99])

    def test_status_and_stats(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            self.assertRegex(lab.fetch(), "server [012]")
            # Unless the worker has just had no processor for more than a second, which is said there, too.
            screens = []
            wait_until(lambda: screens.append(self.sluice(lab, "status").stdout) or "has been silent" not in screens[-1])
            screen = screens[-1]
            self.assertLess(len(screen.splitlines()), 25)
            for words in (r"^sluiced \S+, up \d+ s, configuration 4: 1 services, [1-9] connections",
                          r"^front +net_af_xdp +up +1  front$", r"^0 +\d+\.\d% ", rf"^TCP {VIP}:80 +3 ", r"^Nothing to worry about\.$"):
                self.assertRegex(screen, f"(?m){words}")
            lab.adm(f"-A -t {VIP}:81 -s rr")
            screen = self.sluice(lab, "status").stdout
            self.assertIn(f"TCP {VIP}:81 has no real server with a weight above 0", screen)
            self.assertEqual(len(self.sluice(lab, "stats", "--top", "1").stdout.splitlines()), 2)
            self.assertEqual(len(self.sluice(lab, "stats", "--watch", "--rounds", "2").stdout.splitlines()), 6)
            self.assertEqual(json.loads(self.sluice(lab, "status", "--json").stdout)["workers"], 1)

    def test_drain(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            lab.add_service(port=81)
            server = lab.server_address(0)
            self.assertEqual(len(self.sluice(lab, "drain", server).stdout.splitlines()), 2, "in both services")
            self.assertEqual({lab.fetch() for _ in range(6)} & {"server 0", "server 0\n"}, set())
            self.assertEqual(len(self.sluice(lab, "drain", f"{server}:80", "--weight", "1").stdout.splitlines()), 1)
            self.assertTrue(any("server 0" in lab.fetch() for _ in range(6)))
            self.assertIn("no service has the real server 10.9.9.9", self.sluice(lab, "drain", "10.9.9.9", status=3).stderr)

    def test_wrong_use(self):
        with Lab(servers=1) as lab:
            for words in ((), ("frobnicate",), ("status", "--nope"), ("apply",), ("apply", "-f"), ("drain",), ("drain", "a", "b"),
                          ("drain", "a", "--weight", "x"), ("stats", "--top", "0"), ("apply", "-f", "/nowhere"), ("diff", "-f", "x", "--owner", "me")):
                self.assertNotEqual(self.sluice(lab, *words, status=2).stderr, "")
            self.assertIn("no sluiced answers at", self.sluice(lab, "status", status=4).stderr)
            self.assertIn("sluice apply", self.sluice(lab, "status", "--help").stdout)
            self.assertRegex(self.sluice(lab, "--version").stdout, r"^sluice \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    main()
