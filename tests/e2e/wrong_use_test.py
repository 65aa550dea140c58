"""Wrong use gets one clear line and a failure, and changes nothing."""

import json
import os
import subprocess
import unittest
from pathlib import Path

from common import VIP, Lab, main, run

CONFIG = {
    "services": [
        {"key": {"protocol": "TCP", "address": VIP, "port": 80}, "scheduler": "rr",
         "destinations": [{"address": "10.65.0.11", "port": 80, "method": "NAT"}]},
    ]
}


class WrongUseTest(unittest.TestCase):
    def refused(self, lab, *command, says, prefix=()):
        """Runs sluiced, which must end by itself with one line on stderr."""
        result = run("ip", "netns", "exec", lab.ns("lb"), *prefix, *command, check=False, timeout=120)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("sluiced: "), result.stderr)
        for word in says:
            self.assertIn(word, result.stderr)

    def test_what_does_not_fit_into_memory_is_refused(self):
        with Lab() as lab:
            links = lab.ip("lb", "-o", "link").stdout
            self.refused(lab, lab.build / "bin/sluiced", "--interface", "front", "--listen", lab.socket,
                         says=["MB of address space", "ulimit -v"], prefix=["prlimit", f"--as={512 << 20}"])
            self.assertEqual(lab.ip("lb", "-o", "link").stdout, links)
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            status = dict(line.split(":", 1) for line in Path(f"/proc/{lab.sluiced.pid}/status").read_text(encoding="utf8").splitlines())
            left = 150 << 20
            run("prlimit", "--pid", lab.sluiced.pid, f"--as={int(status['VmSize'].split()[0]) * 1024 + left}")
            services = [{"key": {"protocol": "TCP", "address": f"10.98.{i // 250}.{1 + i % 250}", "port": 80}, "scheduler": "rr",
                         "destinations": [{"address": f"10.65.{j}.{1 + i % 250}", "port": 80, "method": "NAT"} for j in range(100)]}
                        for i in range(2000)]
            file = lab.folder / "large.json"
            file.write_text(json.dumps({"services": services}), encoding="utf8")
            applied = lab.sluice("apply", "-f", file, check=False)
            self.assertNotEqual(applied.returncode, 0)
            self.assertIn("ulimit -v", applied.stderr)
            self.assertIsNone(lab.sluiced.poll(), lab.log_text())
            self.assertTrue(lab.fetch().startswith("server"), "what is forwarded goes on")
            lab.adm(f"-A -t {VIP}:81 -s rr")

    def test_sluiced(self):
        with Lab() as lab:
            program = lab.build / "bin/sluiced"
            links = lab.ip("lb", "-o", "link").stdout
            self.refused(lab, program, "--interface", "nope", says=["nope", "does not exist"])
            self.refused(lab, program, "--interface", "lo", says=["lo", "Ethernet"])
            self.refused(lab, program, says=["--interface"])
            self.refused(lab, program, "--interface", "front", "--workers", "0", says=["--workers 0", "1..64"])
            self.refused(lab, program, "--interface", "front", "--workers", "5", says=["front", "1 queues for 5 workers", "ethtool"])
            self.refused(lab, program, "--interface", "front", "--interface", "front", says=["front", "twice"])
            self.refused(lab, program, "--interface", "front", "--connections", "268435456", "--workers", "64", says=["268435456", "MB"])
            self.refused(lab, program, "--interface", "front", "--frobnicate", says=["--frobnicate"])
            self.refused(lab, program, "--interface", "front", "--poll=sometimes", says=["sometimes", "idle or always"])
            self.refused(lab, program, "--interface", "front", "--listen", "0.0.0.0:50051", says=["0.0.0.0:50051", "TLS"])
            self.refused(lab, program, "--interface", "front", "--listen", "unix:relative", says=["relative", "absolute"])
            self.refused(lab, program, "--port", "net_nonsense0", "--listen", lab.socket, says=["net_nonsense0"])
            self.refused(lab, program, "--port", "99:1f.7", "--listen", lab.socket, says=["0000:99:1f.7", "lspci -D"])
            self.refused(lab, program, "--interface", "front", "--config", "/nowhere.json", says=["/nowhere.json", "No such file"])
            self.refused(lab, program, "--interface", "front", "--config", lab.folder, says=[str(lab.folder), "is a folder"])
            pipe = lab.folder / "pipe"
            os.mkfifo(pipe)
            self.refused(lab, program, "--port", "net_null0", "--no-huge", "--listen", lab.socket, "--state", pipe, says=[str(pipe), "no regular file"])
            self.refused(lab, program, "--interface", "front", says=["not permitted", "root"],
                         prefix=["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"])
            self.assertEqual(lab.ip("lb", "-o", "link").stdout, links)
            lab.ip("lb", "link", "set", "front", "mtu", "9000")
            self.refused(lab, program, "--interface", "front", says=["front has MTU 9000", "may have 1766", "--port"])

    def test_sluiced_beside_another(self):
        with Lab() as lab:
            program = lab.build / "bin/sluiced"
            lab.start_http_servers()
            lab.start_sluiced()
            lab.add_service()
            other = f"unix:{lab.folder}/other.sock"
            self.refused(lab, program, "--interface", "front", "--listen", other, says=["front", "another sluiced"])
            self.refused(lab, program, "--port", "net_null0", "--listen", lab.socket, says=[lab.socket, "another sluiced"])
            self.assertRegex(lab.fetch(), "server [012]", "the first one goes on")

    def test_somebody_elses_xdp_program(self):
        with Lab() as lab:
            source = lab.folder / "other.c"
            source.write_text('int other(void* c) { return 2; }\nchar _license[] __attribute__((section("license"))) = "GPL";\n'
                              .replace("int other", '__attribute__((section("xdp"))) int other'))
            run("clang", "-O2", "-g", "-target", "bpf", "-c", source, "-o", lab.folder / "other.o")
            lab.ip("lb", "link", "set", "dev", "front", "xdp", "obj", lab.folder / "other.o", "sec", "xdp")
            self.refused(lab, *lab.sluiced_command(), says=["front", "other", "xdp off"])
            self.assertIn("xdp", lab.ip("lb", "link", "show", "front").stdout)

    def test_config_file(self):
        def broken(change):
            config = json.loads(json.dumps(CONFIG))
            change(config["services"][0])
            return json.dumps(config, indent=1)

        def set_weight(service):
            service["destinations"][0]["weight"] = -1

        def set_scheduler(service):
            service["scheduler"] = "fastest"

        def set_port(service):
            service["key"]["port"] = 70000

        text = ('services {\n  key { protocol: TCP address: "10.99.0.1" port: 80 }\n  scheduler: "rr"\n'
                '  destinations { address: "10.65.0.11" port: 80 method: NAT }\n  destinations {\n    address: "10.65.0.300"\n'
                '    port: 80 method: NAT\n  }\n}\n')
        cases = [
            (broken(set_scheduler), ["config:9", "services[0].scheduler", '"fastest"', "rr"]),
            (broken(set_port), ["config:7", "services[0].key.port", "70000"]),
            (broken(set_weight), ["config:", "weight"]),
            (broken(set_port).replace('"rr",', '"rr"'), ["config:10", "expected ','"]),
            ('{"servces": []}', ["config:1", "servces"]),
            (text, ["config:6", "services[0].destinations[1].address", "10.65.0.300"]),
            (text.replace("scheduler:", "schedular:"), ["config:3", "schedular"]),
        ]
        with Lab() as lab:
            links = lab.ip("lb", "-o", "link").stdout
            for content, says in cases:
                path = lab.folder / "config"
                path.write_text(content)
                self.refused(lab, *lab.sluiced_command("--config", path), says=says)
            self.assertEqual(lab.ip("lb", "-o", "link").stdout, links)
            path.write_text(json.dumps(CONFIG))
            lab.start_http_servers()
            lab.start_sluiced("--config", path)
            self.assertEqual(lab.fetch(), "server 0")

    def test_sluiceadm(self):
        cases = [
            (f"-A -t {VIP}:80 -s rr", 255, "Service already exists"),
            (f"-A -t {VIP}:81 -s fastest", 255, "Scheduler or persistence engine not found"),
            (f"-A -t {VIP}:70000", 2, "illegal virtual server address[:port] specified"),
            (f"-A -t {VIP}:81 -p 60 --pe sip", 255, '"sip": persistence engines are not supported'),
            (f"-A -t {VIP}:0", 2, "Zero port specified for non-persistent service"),
            ("--set-sysctl drop_packet=4", 255, "4: must be 0..3"),
            ("--set-sysctl ip_forward=1", 2, "unknown sysctl `ip_forward': must be one of amemthresh, am_droprate, drop_entry, "
             "drop_packet, secure_tcp, conn_reuse_mode, cache_bypass, expire_nodest_conn, expire_quiescent_template, sloppy_tcp, "
             "sloppy_sctp, run_estimation, lblc_expiration, lblcr_expiration, nat_icmp_send, pmtu_disc, schedule_icmp"),
            (f"-A -t {VIP}:81 --laddr 10.65.0.100%nope", 255, '"nope": this host has no such interface'),
            ("--delete-laddr 10.65.0.100", 255, "there is no local address 10.65.0.100"),
            ("-A -t [fe80::1]:80", 255, "fe80::1: must be a unicast address, not of ::/96, ff00::/8 or fe80::/10"),
            ("--add-fwmark-rule 7,icmp,10.0.0.0/8", 2,
             "invalid fwmark rule `7,icmp,10.0.0.0/8': must be MARK,tcp|udp|sctp|any,PREFIX[,PORT[-PORT]]"),
            ("--delete-fwmark-rule 7,tcp,10.0.0.0/8", 255, "there is no rule tcp 10.0.0.0/8 ports 0-65535 to mark 7"),
            (f"-D -t {VIP}:81", 255, "No such service"),
            (f"-E -t {VIP}:81", 255, "No such service"),
            (f"-a -t {VIP}:81 -r 10.65.0.11:80 -m", 255, "Service not defined"),
            (f"-a -t {VIP}:80 -r 10.65.0.11:80 -m", 255, "Destination already exists"),
            (f"-a -t {VIP}:80 -r 10.65.0.12:80 -i --tun-type gue", 2,
             "You need to supply the 'tun-port' option for the 'gue' tunnel type"),
            (f"-a -t {VIP}:80 -r 10.65.0.12:80 -m -w 2147483648", 2, "illegal weight specified"),
            (f"-a -t {VIP}:80 -r 10.65.0.12:80 -m -w -1", 2, "illegal weight specified"),
            (f"-d -t {VIP}:80 -r 10.65.0.12:80", 255, "No such destination"),
            (f"-L -n -t {VIP}:81", 1, "No such service"),
            ("-A", 2, "You need to supply the 'service-address' option for the 'add-service' command"),
            (f"-a -t {VIP}:80", 2, "You need to supply the 'real-server' option for the 'add-server' command"),
        ]
        with Lab() as lab:
            lab.start_sluiced()
            lab.add_service(servers=[0])
            table = lab.adm("-Ln").stdout
            for words, status, message in cases:
                result = lab.adm(words, check=False)
                self.assertEqual((result.returncode, result.stderr), (status, message + "\n"), words)
                self.assertEqual(result.stdout, "")
                self.assertEqual(lab.adm("-Ln").stdout, table, words)
            result = subprocess.run([lab.build / "bin/sluiceadm", "--server", "unix:/nowhere.sock", "-L"], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 255)
            self.assertIn("No sluiced answers at unix:/nowhere.sock", result.stderr)


if __name__ == "__main__":
    main()
