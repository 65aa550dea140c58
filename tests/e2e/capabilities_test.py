"""sluiced forwards over AF_XDP with no capability beyond those that its manifest and the README name."""

import re
import unittest
from pathlib import Path

from common import Lab, main

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
MANIFEST = ROOT / "tools/deploy/kubernetes/daemonset.yaml"


def of_manifest():
    """Those of sluiced's container, which has no others."""
    container = MANIFEST.read_text(encoding="utf8").split("- name: sluiced\n")[1].split("- name: sluice-kube\n")[0]
    assert "privileged" not in container, container
    return re.search(r'capabilities: \{drop: \["ALL"\], add: \[(.*?)\]\}', container).group(1).replace('"', "").split(", ")


class Confined(Lab):
    """A lab whose sluiced has these capabilities only."""

    def __init__(self, capabilities):
        super().__init__(servers=1)
        self.capabilities = capabilities

    def sluiced_command(self, *extra, interfaces=None):
        names = ",".join(f"+{name.lower()}" for name in self.capabilities)
        confined = ["setpriv", "--no-new-privs", f"--bounding-set=-all,{names}", f"--inh-caps=-all,{names}"]
        return confined + super().sluiced_command(*extra, interfaces=interfaces)


class CapabilitiesTest(unittest.TestCase):
    def test_it_forwards_and_comes_back_after_a_kill(self):
        with Confined(of_manifest()) as lab:
            lab.start_http("server0", lab.server_address(0), 80, "server 0")
            lab.start_sluiced()
            effective = int(re.search(r"CapEff:\s*(\w+)", Path(f"/proc/{lab.sluiced.pid}/status").read_text(encoding="utf8")).group(1), 16)
            self.assertEqual(effective.bit_count(), len(of_manifest()))
            lab.add_service()
            self.assertEqual(lab.fetch(), "server 0")
            lab.sluiced.kill()
            lab.sluiced.wait()
            lab.start_sluiced()
            lab.add_service()
            self.assertEqual(lab.fetch(), "server 0")

    def test_the_readme_names_them(self):
        self.assertEqual(sorted(of_manifest()), sorted(set(re.findall(r"CAP_(\w+)", re.search(r"and root \((.*?);", README, re.DOTALL).group(1)))))

    def test_none_can_be_spared(self):
        for spared in of_manifest():
            with self.subTest(spared), Confined([name for name in of_manifest() if name != spared]) as lab:
                with self.assertRaisesRegex(RuntimeError, "did not start"):
                    lab.start_sluiced()


main()
