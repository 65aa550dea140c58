"""What the end-to-end tests share: the lab, and load on it."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tools"))
from lab import BACK, CLIENT, FRONT, VIP, Lab, run, wait_until  # noqa: E402, F401


def http_load(lab, requests, concurrent):
    printed = lab.inside("client", "python3", HERE / "http_load.py", lab.vip, 80, requests, concurrent, timeout=180).stdout
    return json.loads(printed)


class Load:
    """HTTP requests in the background while the block runs; `result` afterwards."""

    def __init__(self, lab, seconds, concurrent=8):
        self.lab = lab
        self.arguments = [lab.vip, 80, 0, concurrent, seconds]

    def __enter__(self):
        self.process = self.lab.start("client", "python3", HERE / "http_load.py", *self.arguments, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        printed, _ = self.process.communicate(timeout=120)
        self.result = json.loads(printed)


class Talk:
    """A TCP connection from the client that stays open and is spoken over, line by line."""

    def __init__(self, lab, port):
        self.process = lab.start("client", "python3", HERE / "talk.py", lab.vip, port, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, word):
        """What the server answers: its name and the word; 'silence' or 'closed' if it does not."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


def start_talk_servers(lab, port):
    for i in range(lab.servers):
        lab.start(f"server{i}", "python3", HERE / "talk.py", "--serve", lab.server_address(i), port, f"server {i}")
        lab.wait_for_listener(f"server{i}", port)
