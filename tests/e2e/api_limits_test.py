"""The API beside clients that take all they can get: connections without end, streams that nobody reads."""

import os
import re
import resource
import signal
import socket
import subprocess
import time
import unittest
from pathlib import Path

from common import FRONT, Lab, in_namespace, main, run, wait_until
from tls_test import make_certificates

ROOT = Path(__file__).resolve().parent.parent.parent
# More than a sluiced with DESCRIPTORS can have.
CONNECTIONS = 600
DESCRIPTORS = 512


class ApiLimitsTest(unittest.TestCase):
    def setUp(self):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def start_with_few_descriptors(self, lab, *options):
        command = lab.sluiced_command
        lab.sluiced_command = lambda *words, **more: ["prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"] + command(*words, **more)
        lab.start_sluiced(*options)

    def events(self, lab, name):
        page = lab.inside("lb", "curl", "-s", "127.0.0.1:9909/metrics").stdout
        return int(re.search(rf'sluice_events_total{{event="{name}"}} (\d+)', page).group(1))

    def health(self, lab):
        return lab.inside("lb", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "127.0.0.1:9909/healthz").stdout

    def generate(self, folder):
        run("protoc", "-I", ROOT / "proto", f"--python_out={folder}", f"--grpc_python_out={folder}",
            "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin", "sluice/v1/config.proto", "sluice/v1/sluice.proto", timeout=60)

    def answers(self, lab):
        return lab.sluice("status", check=False).returncode == 0

    def test_connections_without_end_over_tcp(self):
        with Lab(servers=1) as lab:
            make_certificates(lab.folder)
            self.start_with_few_descriptors(lab, "--listen-tls", f"{FRONT}:7443", "--tls-cert", lab.folder / "server.pem", "--tls-key",
                                            lab.folder / "server.key", "--tls-client-ca", lab.folder / "ours.pem")
            bare = in_namespace(lab.ns("client"), lambda: [socket.create_connection((FRONT, 7443), 30) for _ in range(CONNECTIONS)])
            self.assertTrue(wait_until(lambda: self.events(lab, "api_connection_refused") > CONNECTIONS / 2))
            self.assertEqual(self.health(lab), "200")
            self.assertTrue(self.answers(lab), "the Unix socket has descriptors of its own")
            for connection in bare:
                connection.close()
            tls = {"SLUICE_TLS_CA": "ours.pem", "SLUICE_TLS_CERT": "client.pem", "SLUICE_TLS_KEY": "client.key"}
            words = [f"{name}={lab.folder / file}" for name, file in tls.items()]
            ask = [lab.build / "bin/sluice", "status"]
            self.assertTrue(wait_until(lambda: lab.inside("client", "env", f"SLUICE_SERVER={FRONT}:7443", *words, *ask, check=False).returncode == 0))

    def test_connections_without_end_on_the_unix_socket(self):
        with Lab(servers=1) as lab:
            self.start_with_few_descriptors(lab)
            path = lab.socket.removeprefix("unix:")
            bare = []
            for _ in range(CONNECTIONS):
                bare.append(socket.socket(socket.AF_UNIX))
                bare[-1].setblocking(False)
                self.assertTrue(wait_until(lambda: bare[-1].connect_ex(path) == 0, every=0.001))
            self.assertTrue(self.answers(lab), "others have their share")
            self.assertEqual(self.health(lab), "200")
            for connection in bare:
                connection.close()
            self.assertTrue(wait_until(lambda: self.answers(lab)))

    def test_health_is_that_of_the_api(self):
        with Lab(servers=1) as lab:
            lab.start_sluiced()
            self.assertEqual(self.health(lab), "200")
            path = Path(lab.socket.removeprefix("unix:"))
            # Nothing leads there, and there is no room to listen again.
            path.unlink()
            path.mkdir()
            self.assertTrue(wait_until(lambda: self.health(lab) == "503"))
            self.assertIn("does not answer", lab.inside("lb", "curl", "-s", "127.0.0.1:9909/healthz").stdout)
            path.rmdir()
            self.assertTrue(wait_until(lambda: self.health(lab) == "200"))
            self.assertTrue(self.answers(lab))

    def test_the_end_does_not_wait_for_readers(self):
        with Lab(servers=1) as lab:
            self.generate(lab.folder)
            lab.start_sluiced()
            run(lab.build / "bin/api_client", lab.socket, "load", 2000, 20)
            reader = lab.start("lb", "/usr/bin/python3", "-B", ROOT / "tests/e2e/slow_reader.py", lab.folder, lab.socket, 12,
                               stdout=subprocess.PIPE, text=True)
            self.assertEqual(reader.stdout.readline(), "reading\n")
            _, status = os.waitpid(reader.pid, os.WUNTRACED)
            self.assertTrue(os.WIFSTOPPED(status))
            time.sleep(3)  # until what fits between the two is full
            lab.sluiced.terminate()
            # Three seconds on a machine that is not busy.
            self.assertEqual(lab.sluiced.wait(timeout=20), 0)
            reader.send_signal(signal.SIGKILL)
            reader.stdout.close()


if __name__ == "__main__":
    main()
