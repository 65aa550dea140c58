"""sluiceadm's rules and statistics, and what of it survives sluiced."""

import json
import os
import signal
import subprocess
import unittest

from common import VIP, Lab, main, run

RULES = f"""-A -t {VIP}:80 -s rr
-a -t {VIP}:80 -r 10.65.0.11:80 -m -w 1
-a -t {VIP}:80 -r 10.65.0.12:80 -m -w 1
-a -t {VIP}:80 -r 10.65.0.13:80 -m -w 1
-A -u {VIP}:53 -s wlc -p 60
-A -f 7 -s sh
"""


class AdmTest(unittest.TestCase):
    def as_program(self, lab, name, *arguments, rules=None):
        """sluiceadm under another name."""
        program = lab.folder / name
        if not program.exists():
            os.symlink(lab.build / "bin/sluiceadm", program)
        return subprocess.run([program, *arguments], input=rules, capture_output=True, text=True, timeout=60, check=False,
                              env=dict(os.environ, SLUICE_SERVER=lab.socket))

    def test_save_and_restore(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            self.assertEqual(self.as_program(lab, "sluiceadm", "-R", rules=RULES).returncode, 0)
            self.assertEqual(lab.adm("-S -n").stdout, RULES)
            self.assertEqual(self.as_program(lab, "ipvsadm-save", "-n").stdout, RULES)
            self.assertRegex(lab.fetch(), "server [012]")
            # One wrong line, or one that is refused: nothing was applied.
            for bad, status, words in ((f"-C\n-A -t {VIP}:81 -s rr\n-A -t nonsense:99999\n", 2, "Line 3"),
                                       (f"-C\n-A -t {VIP}:81 -s rr\n-A -t {VIP}:81 -s rr\n", 255, "Service already exists")):
                refused = self.as_program(lab, "sluiceadm", "-R", rules=bad)
                self.assertEqual(refused.returncode, status)
                self.assertIn(words, refused.stderr)
                self.assertEqual(lab.adm("-S -n").stdout, RULES)
            # Line by line, what was right stays.
            refused = self.as_program(lab, "sluiceadm", "-R", "--partial", rules=f"-A -t {VIP}:81 -s rr\n-A -t {VIP}:81\n# none\n")
            self.assertEqual(refused.returncode, 255)
            self.assertIn(f"-A -t {VIP}:81 -s rr\n", lab.adm("-S -n").stdout)
            # The whole table in one transaction: no request fails meanwhile.
            restored = self.as_program(lab, "ipvsadm-restore", rules="# saved\n" + RULES)
            self.assertEqual((restored.returncode, restored.stderr), (0, ""))
            self.assertEqual(lab.adm("-S -n").stdout, RULES)
            self.assertRegex(lab.fetch(), "server [012]")

    def test_zero(self):
        with Lab() as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            lab.add_service(port=81)
            self.assertRegex(lab.fetch(), "server [012]")
            figures = lambda: {line.split()[1]: line.split()[2:] for line in lab.adm("-Ln --stats --exact").stdout.splitlines()[3:]}
            self.assertEqual(figures()[f"{VIP}:80"][0], "1")
            self.assertEqual(lab.adm(f"-Z -t {VIP}:81").returncode, 0)
            self.assertEqual(figures()[f"{VIP}:80"][0], "1")
            self.assertEqual(lab.adm(f"-Z -t {VIP}:80").returncode, 0)
            self.assertEqual(set(sum(figures().values(), [])), {"0"})
            self.assertRegex(lab.fetch(), "server [012]")
            self.assertEqual(figures()[f"{VIP}:80"][0], "1")
            self.assertEqual(lab.adm("-Z").returncode, 0)
            self.assertEqual(set(sum(figures().values(), [])), {"0"})
            absent = lab.adm(f"-Z -t {VIP}:82", check=False)
            self.assertEqual((absent.returncode, absent.stderr), (255, "No such service\n"))

    def test_json(self):
        with Lab(servers=1) as lab:
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            self.assertIn("server", lab.fetch())
            listed = json.loads(lab.adm("-L --json").stdout)
            self.assertEqual(listed["services"][0]["statistics"]["connections"], "1")
            self.assertEqual(json.loads(lab.adm("-L -c --json").stdout)["connections"][0]["virtualPort"], 80)
            self.assertEqual(json.loads(lab.adm("-L --timeout --json").stdout)["config"]["timeouts"]["tcpSeconds"], 900)

    def test_the_configuration_survives(self):
        with Lab() as lab:
            state = lab.folder / "state"
            lab.start_http_servers()
            lab.start_sluiced("--state", str(state))
            self.as_program(lab, "sluiceadm", "-R", rules=RULES)
            lab.adm("--set 901 121 301")
            generation = lab.info()["generation"]
            for signal_number in (signal.SIGKILL, signal.SIGTERM):
                lab.sluiced.send_signal(signal_number)
                lab.sluiced.wait(timeout=60)
                lab.start_sluiced("--state", str(state))
                self.assertEqual(lab.adm("-S -n").stdout, RULES)
                self.assertIn("901 121 301", lab.adm("-L --timeout").stdout)
                self.assertEqual(lab.info()["generation"], generation)
                self.assertRegex(lab.fetch(), "server [012]")
            # Another may not have it meanwhile.
            other = run("ip", "netns", "exec", lab.ns("lb"), lab.build / "bin/sluiced", "--port", "net_null0", "--no-huge", "--state", state,
                        "--listen", f"unix:{lab.folder}/other.sock", check=False, timeout=60)
            self.assertNotEqual(other.returncode, 0)
            self.assertIn("another sluiced uses it", other.stderr)
            # A start-up file takes the place of the start-up file before, and of nothing else.
            file = lab.folder / "config.json"
            for port in (90, 91):
                file.write_text(f'{{"services": [{{"key": {{"protocol": "TCP", "address": "{VIP}", "port": {port}}}}}]}}')
                self.restart(lab, state, "--config", str(file))
                self.assertEqual(lab.adm("-S -n").stdout, RULES.replace("-A -u", f"-A -t {VIP}:{port} -s wlc\n-A -u"))
            # Damage: said, set aside, and none of it used.
            damaged = bytearray(state.read_bytes())
            damaged[len(damaged) // 2] ^= 0xff
            lab.sluiced.terminate()
            lab.sluiced.wait(timeout=60)
            state.write_bytes(damaged)
            before = len(lab.log_text())
            lab.start_sluiced("--state", str(state))
            self.assertIn(f"{state} is not used", lab.log_text(before))
            self.assertTrue((lab.folder / "state.damaged-1").exists())
            self.assertEqual(lab.adm("-S -n").stdout, "")

    def restart(self, lab, state, *extra):
        lab.sluiced.kill()
        lab.sluiced.wait(timeout=60)
        lab.start_sluiced("--state", str(state), *extra)

    def test_a_full_disk(self):
        with Lab(servers=1) as lab:
            folder = lab.folder / "small"
            folder.mkdir()
            run("mount", "-t", "tmpfs", "-o", "size=64k", "none", folder)
            try:
                lab.start_sluiced("--state", str(folder / "state"))
                (folder / "filler").write_bytes(b"x" * 50000)
                told = self.as_program(lab, "sluiceadm", "-R", rules="".join(f"-A -t {VIP}:{port} -s rr\n" for port in range(1000, 2000)))
                self.assertEqual(told.returncode, 0)
                self.assertIn("will not survive a restart of sluiced", told.stderr)
                self.assertIn("No space left", told.stderr)
                self.assertEqual(len(lab.adm("-S -n").stdout.splitlines()), 1000, "it is in use")
                (folder / "filler").unlink()
                lab.adm("-C")
                told = lab.adm(f"-A -t {VIP}:80 -s rr")
                self.assertEqual(told.stderr, "")
                lab.sluiced.kill()
                lab.sluiced.wait(timeout=60)
                lab.start_sluiced("--state", str(folder / "state"))
                self.assertEqual(lab.adm("-S -n").stdout, f"-A -t {VIP}:80 -s rr\n")
            finally:
                run("umount", "-l", folder)


if __name__ == "__main__":
    main()
