"""What the end-to-end tests share: the lab, load on it, and a runner that says how long each test took."""

import json
import resource
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))
from lab import BACK, CLIENT, FRONT, PYTHON, VIP, Lab, in_namespace, run, wait_until  # noqa: E402, F401

# Seconds of silence that are taken for silence. Only where nothing is expected; a counter then tells that something was sent.
SILENCE = 0.7
REQUESTS = 10_000
CONCURRENT = 64


def cpu_seconds():
    """Of this process and those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class TimedResult(unittest.TextTestResult):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.times = []

    def startTest(self, test):
        self.begin = time.monotonic(), cpu_seconds()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        self.times.append((time.monotonic() - self.begin[0], cpu_seconds() - self.begin[1], test.id().rpartition(".")[2]))


def main(tell=None):
    """Runs the file's tests; at the end `tell()` says what they found, and the seconds each took are printed, so that growth is seen."""
    runner = unittest.TextTestRunner(resultclass=TimedResult, verbosity=2)
    program = unittest.main(module="__main__", exit=False, testRunner=runner)
    if tell:
        tell()
    print("seconds   of a processor")
    for wall, cpu, name in sorted(program.result.times, reverse=True):
        print(f"{wall:7.1f} {cpu:7.1f}  {name}")
    sys.exit(not program.result.wasSuccessful())


def pings_lost(lab, name, address, *options, times=3):
    """One after another: of several at once ping gives up the last after two round trips, however long it may wait for one."""
    return sum(lab.inside(name, "ping", "-c", "1", "-W", "30", *options, address, check=False).returncode != 0 for _ in range(times))


def http_load(lab, requests, concurrent):
    printed = lab.inside("client", PYTHON, HERE / "http_load.py", lab.vip, 80, requests, concurrent, timeout=300).stdout
    return json.loads(printed)


def check_http(test, lab):
    """Ten thousand requests: each is answered, the servers take turns exactly, and all of it is counted."""
    result = http_load(lab, REQUESTS, CONCURRENT)
    test.assertEqual(result["failures"], {})
    counts = sorted(result["answers"].values())
    test.assertEqual(len(counts), 3, result)
    test.assertEqual(sum(counts), REQUESTS)
    test.assertLessEqual(counts[-1] - counts[0], 1, "rr must spread exactly")
    statistics = lab.adm("-Ln --stats --exact").stdout.splitlines()
    connections = [int(line.split()[2]) for line in statistics if line.startswith("  -> ") and "Remote" not in line]
    test.assertEqual(sorted(connections), counts)
    service = next(line for line in statistics if line.startswith("TCP"))
    test.assertEqual(int(service.split()[2]), REQUESTS)


class Load:
    """HTTP requests in the background while the block runs, which begins when they flow; `result` afterwards."""

    def __init__(self, lab, concurrent=8, patience=60):
        self.lab = lab
        self.concurrent = concurrent
        self.patience = patience
        self.lines = []

    def __enter__(self):
        self.process = self.lab.start("client", PYTHON, HERE / "http_load.py", self.lab.vip, 80, "until-told", self.concurrent,
                                      self.patience, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=lambda: self.lines.extend(line.strip() for line in self.process.stdout), daemon=True)
        self.reader.start()
        if not self.has_seen("going"):
            raise RuntimeError("requests are not answered")
        return self

    def has_seen(self, answer):
        """Waits until a request was answered so."""
        return wait_until(lambda: answer in self.lines)

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=180)
        self.reader.join()
        self.process.stdout.close()
        self.result = json.loads(self.lines[-1])


class Talk:
    """A TCP connection from the client that stays open and is spoken over, line by line."""

    def __init__(self, lab, port):
        self.connection = lab.connect("client", lab.vip, port)
        self.pending = b""

    def ask(self, word, patience=60):
        """What the server answers: its name and the word; 'silence' or 'closed' if it does not."""
        try:
            self.say(word)
        except OSError:
            return "closed"
        return self.hear(patience)

    def say(self, word):
        self.connection.sendall(word.encode() + b"\n")

    def hear(self, patience=60):
        self.connection.settimeout(patience)
        try:
            while b"\n" not in self.pending:
                data = self.connection.recv(4096)
                if not data:
                    return "closed"
                self.pending += data
        except TimeoutError:
            return "silence"
        except OSError:
            return "closed"
        answer, _, self.pending = self.pending.partition(b"\n")
        return answer.decode()

    def close(self):
        self.connection.close()


def start_talk_servers(lab, port):
    for i in range(lab.servers):
        lab.start(f"server{i}", PYTHON, HERE / "talk.py", lab.server_address(i), port, f"server {i}")
    for i in range(lab.servers):
        lab.wait_for_listener(f"server{i}", port)


def start_udp_servers(lab, port):
    for i in range(lab.servers):
        lab.start(f"server{i}", PYTHON, HERE / "udp_echo.py", "server", lab.server_address(i), port, f"server {i}")
    for i in range(lab.servers):
        lab.wait_for_listener(f"server{i}", port, udp=True)


def ask_udp(lab, address, port, requests, *size):
    """Who answered how many of the requests."""
    return json.loads(lab.inside("client", PYTHON, HERE / "udp_echo.py", "client", address, port, requests, *size, timeout=300).stdout)
