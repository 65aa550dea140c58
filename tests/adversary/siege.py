"""What the adversary's tests share: a small sluiced under siege, the streams it must carry on, and a stranger at the client's link.

    with Siege("--connections", SMALL) as siege:
        with siege.flood("syn", siege.lab.vip, PORT, rate, seconds): ...
        siege.check_streams(self)
"""

import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
from common import PYTHON, Lab, wait_until  # noqa: E402

DEBIAN_PYTHON = "/usr/bin/python3"  # scapy is a Debian package
PORT = 7000
STREAMS = 50
SMALL = "4096"
LONGEST_STALL_MS = 2000
LEAST_SUCCESS = 0.95
RECOVERY_SECONDS = 5
FIGURES = []


def note(what, **figures):
    """Keeps a line of the table that is printed at the end."""
    FIGURES.append((what, figures))


def print_figures():
    print("\nfigures")
    for what, figures in FIGURES:
        print(f"  {what:<44} " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items()))


class Siege:
    def __init__(self, *options, family=4):
        self.options = options
        self.lab = Lab(family=family)

    def __enter__(self):
        self.lab.__enter__()
        try:
            self._start()
        except BaseException:
            self.lab.close()
            raise
        return self

    def __exit__(self, *_):
        self.lab.close()

    def _start(self):
        lab = self.lab
        self.streams = lab.build / "bin/streams"
        for i in range(lab.servers):
            lab.start(f"server{i}", self.streams, "server", lab.endpoint(lab.server_address(i), PORT))
        for i in range(lab.servers):
            lab.wait_for_listener(f"server{i}", PORT)
        lab.start_sluiced("--no-huge", *self.options)
        lab.add_service(port=PORT)
        lab.add_service(port=PORT, protocol="-u")
        self.file = lab.folder / "streams"
        self.client = lab.start("client", self.streams, "client", lab.endpoint(lab.vip, PORT), STREAMS, 0, self.file)
        if not wait_until(lambda: self.figures().get("fewest_blocks", 0) >= 3):
            raise RuntimeError(f"streams do not flow: {self.figures()}")

    def figures(self):
        """Of the streams, as they are now."""
        now = Path(f"{self.file}.now")
        words = now.read_text(encoding="utf8").split() if now.exists() else []
        return {name: int(value) for name, value in zip(words[::2], words[1::2])}

    def check_streams(self, test, stall_ms=LONGEST_STALL_MS):
        """All of them live, no byte was wrong, none was silent for long; and they still go on."""
        before = self.figures()
        more = before["fewest_blocks"] + 3
        test.assertTrue(wait_until(lambda: self.figures()["fewest_blocks"] >= more, 30), f"streams stand still: {self.figures()}")
        figures = self.figures()
        test.assertIsNone(self.lab.sluiced.poll(), self.lab.log_text()[-2000:])
        test.assertEqual((figures["streams"], figures["reset"], figures["wrong"]), (STREAMS, 0, 0), figures)
        test.assertLess(figures["longest_ms"], stall_ms, "longest stall of an established stream")
        return figures

    def counters(self):
        return self.lab.info()["counters"]

    # The stranger.

    def gateway_mac(self):
        return json.loads(self.lab.inside("lb", "ip", "-j", "link", "show", "front").stdout)[0]["address"]

    def start_flood(self, kind, port, rate, seconds, seed=1):
        arguments = ("eth0", self.gateway_mac(), kind, self.lab.endpoint(self.lab.vip, port), rate, seconds, seed)
        return self.lab.start("client", self.lab.build / "bin/flood", *arguments, stdout=subprocess.PIPE, text=True)

    def send_frames(self, path, count, rate, seed=1, timeout=120):
        """Frames of a file, so many, the later ones bent. Returns how many went."""
        printed = self.lab.inside("client", self.lab.build / "bin/flood", "eth0", self.gateway_mac(), "frames", path, count, rate, seed,
                                  timeout=timeout).stdout
        return sent_of(printed)

    def fresh(self, rate, seconds, port=PORT, sources=()):
        """Legitimate connections of the client in the background, so many a second."""
        words = [self.lab.vip, port, rate, seconds, *sources]
        return self.lab.start("client", PYTHON, HERE / "fresh.py", *words, stdout=subprocess.PIPE, text=True)

    def check_flood(self, test, what, kind, port, rate, seconds, fresh_port=PORT, fresh_sources=()):
        """A flood beside legitimate connections; then the time until such succeed as if nothing had been."""
        flood = self.start_flood(kind, port, rate, seconds)
        fresh = self.fresh(20, seconds, fresh_port, fresh_sources[: 20 * seconds])
        sent = sent_of(ended(flood))
        during = json.loads(ended(fresh))
        begin = time.monotonic()
        recovered = wait_until(lambda: self.is_well(fresh_port, fresh_sources[-10:]), 15)
        seconds_to_recover = time.monotonic() - begin
        figures = self.figures()
        note(what, frames=sent, new_ones=f"{during['succeeded']}/{during['tried']}", slowest_new_ms=during["slowest_ms"],
             longest_stall_ms=figures["longest_ms"], recovery_s=f"{seconds_to_recover:.1f}" if recovered else "never")
        self.check_streams(test)
        test.assertGreaterEqual(during["succeeded"], LEAST_SUCCESS * during["tried"], f"new connections during the flood: {during}")
        test.assertTrue(recovered and seconds_to_recover < RECOVERY_SECONDS, f"recovered after {seconds_to_recover:.1f} s")

    def is_well(self, port, sources):
        """Ten new connections succeed at once."""
        result = json.loads(ended(self.fresh(100, 0.1, port, sources)))
        return result["succeeded"] == result["tried"]


def ended(process, timeout=180):
    printed, _ = process.communicate(timeout=timeout)
    if process.returncode != 0:
        raise RuntimeError(f"{process.args}: exit status {process.returncode}")
    return printed


def sent_of(printed):
    return int(printed.split()[1])
