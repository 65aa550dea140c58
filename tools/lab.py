"""A small network of namespaces to run Sluice in: a client, the balancer, and real servers behind a switch.

The demo and the end-to-end tests use it. All names carry a tag of this run; leaving the `with` block removes
everything it made and ends the processes it started, and nothing else.

    client 10.64.0.2 --- front 10.64.0.1 [balancer] back 10.65.0.1 --- switch --- 10.65.0.11, .12, .13

With family=6 it is a network of IPv6: fd64::2, fd64::1, fd65::1, fd65::11 and so on.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

VIP = "10.99.0.1"
CLIENT = "10.64.0.2"
FRONT = "10.64.0.1"
BACK = "10.65.0.1"
ROOT = Path(__file__).resolve().parent.parent


def run(*command, check=True, timeout=60, **options):
    """Runs a command to its end; what it printed is in the result."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def wait_until(claim, seconds=10, every=0.02):
    """Waits until claim() is true; False when the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if claim():
            return True
        time.sleep(every)
    return bool(claim())


class Lab:
    def __init__(self, servers=3, queues=1, one_arm=False, build=None, family=4):
        self.tag = f"sl{os.getpid()}"
        self.servers = servers
        self.queues = queues
        self.one_arm = one_arm
        self.family = family
        self.vip = VIP if family == 4 else "fd99::1"
        self.client = CLIENT if family == 4 else "fd64::2"
        self.front = FRONT if family == 4 else "fd64::1"
        self.back = BACK if family == 4 else "fd65::1"
        self.host_bits, self.network_bits = (32, 24) if family == 4 else (128, 64)
        self.build = Path(build or os.environ.get("SLUICE_BUILD", ROOT / "build/release"))
        self.folder = None
        self.processes = []
        self.namespaces = []
        self.sluiced = None
        self.socket = None

    # The network.

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.tag}-"))
        self.socket = f"unix:{self.folder}/sluiced.sock"
        try:
            self._make_network()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        for namespace in self.namespaces:
            run("ip", "netns", "del", namespace, check=False)
        self.namespaces.clear()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def server_address(self, i):
        if self.family == 6:
            return f"fd64::{11 + i}" if self.one_arm else f"fd65::{11 + i}"
        return f"10.64.0.{11 + i}" if self.one_arm else f"10.65.0.{11 + i}"

    def endpoint(self, address, port):
        return f"{address}:{port}" if self.family == 4 else f"[{address}]:{port}"

    def ns(self, name):
        return f"{self.tag}{name}"

    def interfaces(self):
        return ["front"] if self.one_arm else ["front", "back"]

    def _make_network(self):
        for name in ["client", "lb", "switch"] + [f"server{i}" for i in range(self.servers)]:
            self.namespaces.append(self.ns(name))
            run("ip", "netns", "add", self.ns(name))
            self.ip(name, "link", "set", "lo", "up")
            # No chatter of IPv6 in the counters, and addresses that can be used at once.
            quiet = ["disable_ipv6=1"] if self.family == 4 else ["accept_dad=0", "accept_ra=0", "router_solicitations=0"]
            for option in quiet:
                self.inside(name, "sysctl", "-qw", f"net.ipv6.conf.all.{option}", f"net.ipv6.conf.default.{option}", check=False)
        self.ip("switch", "link", "add", "sw", "type", "bridge", "forward_delay", "0")
        self.ip("switch", "link", "set", "sw", "up")
        if self.one_arm:
            self._plug("client", "eth0", "to-client")
            self._plug("lb", "front", "to-front")
        else:
            self._cable("client", "eth0", "lb", "front")
            self._plug("lb", "back", "to-back")
            self._address("lb", "back", self.back)
        self._address("client", "eth0", self.client)
        self._address("lb", "front", self.front)
        self.ip("lb", "addr", "add", f"{self.vip}/{self.host_bits}", "dev", "lo")
        self.ip("client", "route", "add", "10.99.0.0/24" if self.family == 4 else "fd99::/64", "via", self.front)
        gateway = self.front if self.one_arm else self.back
        for i in range(self.servers):
            self._plug(f"server{i}", "eth0", f"to-server{i}")
            self._address(f"server{i}", "eth0", self.server_address(i))
            if self.one_arm:
                # Replies go through the balancer although the client is a neighbour.
                self.ip(f"server{i}", "route", "add", f"{self.client}/{self.host_bits}", "via", gateway)
            else:
                self.ip(f"server{i}", "route", "add", "default", "via", gateway)
        if self.one_arm:
            for name in ["lb"] + [f"server{i}" for i in range(self.servers)]:
                self.inside(name, "sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.all.accept_redirects=0")

    def _address(self, name, interface, address):
        self.ip(name, "addr", "add", f"{address}/{self.network_bits}", "dev", interface)

    def _cable(self, a, a_name, b, b_name):
        queues = ["numrxqueues", str(self.queues), "numtxqueues", str(self.queues)]
        run("ip", "link", "add", a_name, "netns", self.ns(a), *queues, "type", "veth", "peer", "name", b_name, "netns", self.ns(b), *queues)
        for name, interface in ((a, a_name), (b, b_name)):
            # What a local stack sends must be complete: AF_XDP shows it as it is.
            for feature in ("tx", "tso", "gso", "gro", "txvlan", "rxvlan"):
                self.inside(name, "ethtool", "-K", interface, feature, "off", check=False)
            self.ip(name, "link", "set", interface, "up")

    def _plug(self, name, interface, port):
        self._cable(name, interface, "switch", port)
        self.ip("switch", "link", "set", port, "master", "sw")

    # Commands inside.

    def inside(self, name, *command, **options):
        return run("ip", "netns", "exec", self.ns(name), *command, **options)

    def ip(self, name, *arguments):
        return run("ip", "-n", self.ns(name), *arguments)

    def start(self, name, *command, **options):
        """A process that goes on; it is ended when the lab is closed."""
        process = subprocess.Popen(["ip", "netns", "exec", self.ns(name)] + [str(part) for part in command], **options)
        self.processes.append(process)
        return process

    # Real servers.

    def start_http(self, name, address, port, text):
        """nginx that answers every request with `text`, on a connection of its own."""
        prefix = self.folder / f"nginx-{name}-{port}"
        prefix.mkdir()
        config = prefix / "nginx.conf"
        config.write_text(
            "daemon off; worker_processes 1; pid nginx.pid; error_log error.log;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; keepalive_timeout 0; client_body_temp_path body; proxy_temp_path proxy;\n"
            " fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n"
            f" server {{ listen {self.endpoint(address, port)} backlog=4096; location / {{ default_type text/plain; return 200 \"{text}\\n\"; }} }} }}\n")
        process = self.start(name, "nginx", "-p", prefix, "-c", config, "-e", prefix / "error.log", stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        self.wait_for_listener(name, port)
        return process

    def wait_for_listener(self, name, port, udp=False):
        kind = "-uln" if udp else "-tln"
        if not wait_until(lambda: f":{port} " in self.inside(name, "ss", kind).stdout, 10):
            raise RuntimeError(f"nothing listens on port {port} in {name}")

    def start_http_servers(self, port=80):
        for i in range(self.servers):
            self.start_http(f"server{i}", self.server_address(i), port, f"server {i}")

    # Sluice.

    def sluiced_command(self, *extra, interfaces=None):
        command = [self.build / "bin/sluiced", "--listen", self.socket]
        if "--state" not in extra:
            command += ["--state", "none"]
        # Where the host's kernel has IPVS it would go on where a test wants to see that nobody does.
        if not any(str(word).startswith("--kernel-ipvs") for word in extra):
            command += ["--kernel-ipvs", "off"]
        for interface in self.interfaces() if interfaces is None else interfaces:
            command += ["--interface", interface]
        return command + list(extra)

    def start_sluiced(self, *extra, interfaces=None):
        """Starts sluiced and waits until it is ready."""
        self.log = self.folder / "sluiced.log"
        with open(self.log, "a", encoding="utf8") as log:
            begin = log.tell()
            self.sluiced = self.start("lb", *self.sluiced_command(*extra, interfaces=interfaces), stdout=log, stderr=log)
        ready = wait_until(lambda: self.sluiced.poll() is not None or " ready: " in self.log_text(begin), 30)
        if not ready or self.sluiced.poll() is not None:
            raise RuntimeError(f"sluiced did not start:\n{self.log_text(begin)}")
        return self.sluiced

    def log_text(self, begin=0):
        return self.log.read_text(encoding="utf8", errors="replace")[begin:]

    def adm(self, *arguments, check=True):
        """sluiceadm; arguments as words."""
        words = [word for argument in arguments for word in str(argument).split()]
        environment = dict(os.environ, SLUICE_SERVER=self.socket)
        return run(self.build / "bin/sluiceadm", *words, check=check, env=environment)

    def sluice(self, *words, check=True):
        return run(self.build / "bin/sluice", *words, check=check, env=dict(os.environ, SLUICE_SERVER=self.socket))

    def add_service(self, port=80, scheduler="rr", protocol="-t", servers=None, server_port=None):
        service = self.endpoint(self.vip, port)
        self.adm(f"-A {protocol} {service} -s {scheduler}")
        for i in range(self.servers) if servers is None else servers:
            self.adm(f"-a {protocol} {service} -r {self.endpoint(self.server_address(i), server_port or port)} -m")

    def fetch(self, port=80, timeout=3):
        """One HTTP request from the client; the answer, or '' if there is none."""
        result = self.inside("client", "curl", "-s", "--max-time", timeout, f"http://{self.endpoint(self.vip, port)}/", check=False)
        return result.stdout.strip()

    def info(self):
        """GetInfo, with the counters as a dictionary."""
        answer = json.loads(run(self.build / "bin/api_client", self.socket, "info").stdout)
        answer["counters"] = {counter["name"]: int(counter["value"]) for counter in answer["counters"]}
        return answer
