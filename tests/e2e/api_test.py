"""The API as clients meet it: the socket, health, reflection, transactions."""

import json
import os
import stat
import unittest

from common import VIP, Lab, main, run


class ApiTest(unittest.TestCase):
    def api(self, lab, *arguments, check=True):
        return run(lab.build / "bin/api_client", lab.socket, *arguments, check=check)

    def test_the_socket_and_the_standard_services(self):
        with Lab(servers=1) as lab:
            lab.start_sluiced()
            mode = os.stat(lab.socket.removeprefix("unix:")).st_mode
            self.assertTrue(stat.S_ISSOCK(mode))
            self.assertEqual(stat.S_IMODE(mode), 0o600)
            self.assertEqual(self.api(lab, "health").stdout, "serving\n")
            self.assertEqual(self.api(lab, "reflect").stdout, "sluice.v1.Sluice\n")

    def test_info(self):
        with Lab(servers=1) as lab:
            lab.start_sluiced("--connections", "65536")
            info = lab.info()
            self.assertEqual([port["name"] for port in info["ports"]], ["front", "back"])
            for port in info["ports"]:
                self.assertEqual((port["driver"], port["queues"], port["xdpMode"], port["linkUp"]), ("net_af_xdp", 1, "native", True))
            self.assertEqual(info["workers"], 1)
            self.assertEqual(info["connectionCapacity"], "65536")
            self.assertGreater(int(info["routes"]), 3)

    def test_transactions(self):
        key = {"protocol": "TCP", "address": VIP, "port": 80}
        servers = [{"putDestination": {"service": key, "destination": {"address": f"10.65.0.{11 + i}", "port": 80, "method": "NAT"}}} for i in range(3)]
        add = {"changes": [{"putService": {"service": {"key": key, "scheduler": "rr"}, "mode": "CREATE"}}] + servers}
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            dry = json.loads(self.api(lab, "apply", json.dumps(dict(add, dryRun=True))).stdout)
            self.assertEqual(dry["generation"], "0")
            self.assertEqual(len(dry["changed"]), 4)
            self.assertEqual(lab.fetch(), "", "nothing is there yet but the host, which refuses")
            applied = json.loads(self.api(lab, "apply", json.dumps(add)).stdout)
            self.assertEqual(applied["generation"], "1")
            self.assertRegex(lab.fetch(), "server [012]")
            # The second change of the request is wrong: the first is not made either.
            half = {"changes": [{"deleteService": {"key": key}}, {"deleteService": {"key": dict(key, port=81)}}]}
            refused = self.api(lab, "apply", json.dumps(half), check=False)
            self.assertIn("changes[1].delete_service: there is no service TCP 10.99.0.1:81", refused.stderr)
            self.assertRegex(lab.fetch(), "server [012]")
            stale = dict(half, expectedGeneration="7")
            self.assertIn("generation 1", self.api(lab, "apply", json.dumps(stale), check=False).stderr)


if __name__ == "__main__":
    main()
