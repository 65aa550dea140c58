"""A hostile API server: whatever it answers, traffic goes on, sluice-kube asks seldom and stays small, and once the server is sane
the state is the server's."""

import re
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "kubernetes"))
import hostile  # noqa: E402
from common import main  # noqa: E402
from kube_lab import CLUSTER_IP, NODE, WEB, KubeLab, endpoint, endpoint_slice, node, service, wait_until  # noqa: E402

LARGEST_MIB = 400  # of which half would be gRPC's and the allocator's


def memory_mib(pid):
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


class HostileTest(unittest.TestCase):
    def suffer(self, lab, answers, number):
        api = lab.api
        # What lived for a second has worked: the pauses begin anew. A fixed wait, for nothing is to happen meanwhile.
        self.assertTrue(wait_until(lambda: len(api.watched) >= 3, 120), lab.kube_text())
        time.sleep(1.2)
        before, begin = len(api.requests), time.monotonic()
        api.hostile = hostile.together(answers)
        api.cut_streams(in_the_middle=False)
        self.assertTrue(wait_until(lambda: len(api.requests) >= before + 9))
        time.sleep(1)  # a flood would be seen
        seconds = time.monotonic() - begin
        self.assertTrue(lab.get(f"http://{CLUSTER_IP}/").startswith("server"), "traffic goes on")
        asked = len(api.requests) - before
        self.assertLess(asked, 20 + 6 * seconds)
        api.hostile = None
        address = f"10.99.1.{number}"
        api.put(service(f"after-{number}", address, WEB))
        api.put(endpoint_slice(f"after-{number}", [endpoint(lab.pods[0])], {"http": (80, "TCP")}))
        self.assertTrue(wait_until(lambda: f"-a -t {address}:80 -r {lab.pods[0]}:80" in lab.rules(), 120), lab.kube_text())
        self.assertIsNone(lab.kube.poll(), lab.kube_text())
        self.assertNotIn("10.99.77.77", lab.rules(), "what was never there")
        self.assertFalse([path for _, path, _ in api.requests if "elsewhere" in path], "redirects are not followed")
        memory = memory_mib(lab.kube.pid)
        self.assertLess(memory, LARGEST_MIB)
        print(f"{', '.join(each.__name__ for each in answers)}: {asked} requests in {seconds:.1f} s, at most {memory:.0f} MiB until now")

    def test_everything(self):
        with KubeLab() as lab:
            lab.start_web()
            for number, answers in enumerate(hostile.ROUNDS, 1):
                with self.subTest(answers=[each.__name__ for each in answers]):
                    self.suffer(lab, answers, number)
            self.assertIn(f"-a -t {CLUSTER_IP}:80 -r {lab.pods[-1]}:80", lab.rules())
            self.assertGreater(lab.metric("sluice_kube_api_refused_objects_total"), 0)
            self.assertFalse([byte for byte in lab.kube_text() if ord(byte) < 0x20 and byte != "\n"], "lines of the log are not forged")

    def test_a_core_is_not_burnt_while_nobody_answers(self):
        with KubeLab() as lab:
            lab.start_sluiced()
            lab.api.close()  # before the first list
            lab.start_kube("--ipvs-sync-period=1s")
            # Five sync periods; a fixed wait, for it is about what must not happen.
            time.sleep(5)
            user, system = Path(f"/proc/{lab.kube.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
            self.assertLess((int(user) + int(system)) / 100, 1.5, "seconds of a processor in five")
            lab.start_api(lab.api.port)
            lab.api.put(node(NODE, lab.back))
            lab.api.put(service("late", "10.99.0.60", WEB))
            lab.api.put(endpoint_slice("late", [endpoint(lab.pods[0])], {"http": (80, "TCP")}))
            self.assertTrue(lab.has("10.99.0.60:80"), lab.kube_text())


if __name__ == "__main__":
    main()
