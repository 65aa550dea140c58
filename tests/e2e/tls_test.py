"""The API over TCP: only with TLS, only for clients with a certificate; and a client that stock tools made."""

import json
import unittest
from pathlib import Path

from common import FRONT, Lab, main, run

ROOT = Path(__file__).resolve().parent.parent.parent


def make_certificates(folder):
    def openssl(*words):
        run("openssl", *words, timeout=60)
    for name in ("ours", "theirs"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem")
    for name, authority in (("server", "ours"), ("client", "ours"), ("stranger", "theirs")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
                "-out", folder / f"{name}.csr")
        (folder / "names").write_text(f"subjectAltName=IP:{FRONT}\n")
        openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / f"{authority}.pem", "-CAkey", folder / f"{authority}.key",
                "-CAcreateserial", "-days", "2", "-extfile", folder / "names", "-out", folder / f"{name}.pem")
    (folder / "empty").write_text("")


class TlsTest(unittest.TestCase):
    def generate(self, folder):
        run("protoc", "-I", ROOT / "proto", f"--python_out={folder}", f"--grpc_python_out={folder}",
            "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin", "sluice/v1/config.proto", "sluice/v1/sluice.proto", timeout=60)

    def ask(self, lab, where, target, *credentials):
        told = lab.inside(where, "/usr/bin/python3", "-B", ROOT / "tests/e2e/tls_client.py", lab.folder, target,
                          *[lab.folder / name for name in credentials], timeout=60)
        return json.loads(told.stdout)

    def test_who_may(self):
        with Lab(servers=1) as lab:
            make_certificates(lab.folder)
            self.generate(lab.folder)
            tls = ["--listen-tls", f"{FRONT}:7443", "--tls-cert", str(lab.folder / "server.pem"), "--tls-key", str(lab.folder / "server.key"),
                   "--tls-client-ca", str(lab.folder / "ours.pem")]
            lab.start_sluiced(*tls)
            self.assertIn(f"with TLS on {FRONT}:7443", lab.log_text())
            expected = {"changed": ["added service TCP 10.99.0.7:80", "added server 10.65.0.11:80 of TCP 10.99.0.7:80"], "services": 1,
                        "workers": 1, "connections": 0, "refused": "NOT_FOUND"}
            self.assertEqual(self.ask(lab, "client", f"{FRONT}:7443", "ours.pem", "client.pem", "client.key"), expected)
            # Nobody else: without a certificate, with another authority's, without TLS.
            for credentials in (("ours.pem", "empty", "empty"), ("ours.pem", "stranger.pem", "stranger.key"), ()):
                self.assertIn(self.ask(lab, "client", f"{FRONT}:7443", *credentials).get("failed"), ("UNAVAILABLE", "DEADLINE_EXCEEDED"), credentials)
            # On the Unix socket nothing has changed.
            self.assertEqual(self.ask(lab, "lb", lab.socket)["changed"], [])

    def test_wrong_use(self):
        with Lab(servers=1) as lab:
            make_certificates(lab.folder)
            good = {"--tls-cert": "server.pem", "--tls-key": "server.key", "--tls-client-ca": "ours.pem"}
            for option, name, words in (("--tls-key", None, "--listen-tls needs --tls-key FILE"), ("--tls-cert", "nowhere", "--tls-cert"),
                                        ("--tls-client-ca", "names", "is not PEM"), ("--tls-key", "client.key", "belong together")):
                files = {**good, option: name}
                arguments = [word for key, value in files.items() if value for word in (key, str(lab.folder / value))]
                refused = lab.inside("lb", *lab.sluiced_command("--listen-tls", f"{FRONT}:7443", *arguments, interfaces=[]), "--port", "net_null0",
                                     "--no-huge", "--metrics", "none", check=False, timeout=60)
                self.assertEqual(refused.returncode, 1, refused.stderr)
                self.assertIn(words, refused.stderr)
            plain = lab.inside("lb", *lab.sluiced_command(interfaces=[]), "--port", "net_null0", "--no-huge", "--listen", "127.0.0.1:7443",
                               check=False, timeout=60)
            self.assertIn("only with TLS", plain.stderr)


if __name__ == "__main__":
    main()
