"""The API over TCP: only with TLS, only for clients with a certificate; and a client that stock tools made."""

import json
import time
import unittest
from pathlib import Path

from common import FRONT, Lab, main, run, wait_until

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

    def start(self, lab, *options):
        make_certificates(lab.folder)
        lab.start_sluiced("--listen-tls", f"{FRONT}:7443", "--tls-cert", lab.folder / "server.pem", "--tls-key", lab.folder / "server.key",
                          "--tls-client-ca", lab.folder / "ours.pem", *options)

    def tool(self, lab, program, *words, authority="ours", name="client"):
        files = {"SLUICE_TLS_CA": f"{authority}.pem", "SLUICE_TLS_CERT": f"{name}.pem", "SLUICE_TLS_KEY": f"{name}.key"}
        return lab.inside("client", "env", f"SLUICE_SERVER={FRONT}:7443", *[f"{key}={lab.folder / value}" for key, value in files.items()],
                          lab.build / "bin" / program, *words, check=False)

    def test_roles(self):
        with Lab(servers=1) as lab:
            self.start(lab, "--tls-role", "client=read", "--tls-role", "server=write")
            self.assertEqual(self.tool(lab, "sluice", "status").returncode, 0)
            refused = self.tool(lab, "sluiceadm", "-A", "-t", "10.99.0.7:80", "-s", "rr")
            self.assertNotEqual(refused.returncode, 0)
            for word in ("client", '"read"', '"write"', "--tls-role"):
                self.assertIn(word, refused.stderr)
            self.assertEqual(lab.adm("-Sn").stdout, "")
            self.assertEqual(self.tool(lab, "sluiceadm", "-A", "-t", "10.99.0.7:80", "-s", "rr", name="server").returncode, 0)
            self.assertIn("10.99.0.7:80", lab.adm("-Sn").stdout, "on the Unix socket everybody may do all")
            self.assertIn('needs "all"', self.tool(lab, "sluice", "release", name="server").stderr)
            lab.sluiced.terminate()
            self.assertEqual(lab.sluiced.wait(timeout=60), 0)
            self.start(lab, "--tls-role", "somebody=all")
            self.assertIn('have the role "none"', self.tool(lab, "sluice", "status").stderr)

    def test_new_files_are_read_without_a_restart(self):
        with Lab(servers=1) as lab:
            self.start(lab)
            self.assertEqual(self.tool(lab, "sluice", "status").returncode, 0)
            # Halfway through a rotation, and when it has failed, the old ones hold.
            first = {name: (lab.folder / name).read_bytes() for name in ("server.pem", "server.key", "ours.pem")}
            for name, text in (("server.pem", (lab.folder / "stranger.pem").read_bytes()), ("ours.pem", b""), ("ours.pem", b"-----BEGIN nothing")):
                lab.folder.joinpath(name).write_bytes(text)
                time.sleep(1.2)
                (lab.folder / "first.pem").write_bytes(first["ours.pem"])
                told = self.tool(lab, "sluice", "status", authority="first")
                self.assertEqual(told.returncode, 0, told.stderr)
                lab.folder.joinpath(name).write_bytes(first[name])
            self.assertIn("the files that were read before hold", lab.log_text())
            self.assertIn("do not belong together", lab.log_text())
            self.assertIn("holds no certificate", lab.log_text())
            (lab.folder / "server.pem").write_bytes((lab.folder / "stranger.pem").read_bytes())
            (lab.folder / "server.key").write_bytes((lab.folder / "stranger.key").read_bytes())
            (lab.folder / "ours.pem").write_bytes((lab.folder / "theirs.pem").read_bytes())
            self.assertTrue(wait_until(lambda: self.tool(lab, "sluice", "status", authority="theirs", name="stranger").returncode == 0))
            self.assertNotEqual(self.tool(lab, "sluice", "status", authority="theirs", name="client").returncode, 0, "its authority is no longer trusted")

    def test_an_empty_authority_is_none(self):
        with Lab(servers=1) as lab:
            self.start(lab)
            self.assertIn("SLUICE_TLS_CA", self.tool(lab, "sluice", "status", authority="nowhere").stderr)
            (lab.folder / "blank.pem").write_text("")
            self.assertIn("blank.pem: cannot be read, or is empty", self.tool(lab, "sluice", "status", authority="blank").stderr)
            (lab.folder / "blank.pem").write_text("nothing\n")
            self.assertIn("blank.pem: is not PEM", self.tool(lab, "sluice", "status", authority="blank").stderr)

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
