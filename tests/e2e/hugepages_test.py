"""Hugepages, which the whole machine has only one pool of: no other sluiced may start or end beside this."""

import unittest
from pathlib import Path

from common import Lab, check_http, main


def free_hugepages():
    return int(Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())


class HugepagesTest(unittest.TestCase):
    def test_hugepages_are_used_if_there_are_enough(self):
        pages = Path("/proc/sys/vm/nr_hugepages")
        before = pages.read_text()
        try:
            pages.write_text(str(int(before) + 256))
            if free_hugepages() < 200:
                self.skipTest("the system has no memory to make hugepages of")
            with Lab() as lab:
                lab.start_http_servers()
                free = free_hugepages()
                lab.start_sluiced()
                self.assertLess(free_hugepages(), free)
                self.assertNotRegex(Path(f"/proc/{lab.sluiced.pid}/status").read_text(), r"HugetlbPages:\s+0 kB", "they are sluiced's")
                lab.add_service()
                check_http(self, lab)
        finally:
            pages.write_text(before)


if __name__ == "__main__":
    main()
