"""A small network of namespaces to run Sluice in: a client, the balancer, and real servers behind a switch.

The demo and the end-to-end tests use it. All names carry a tag of this run; leaving the `with` block removes
everything it made and ends the processes it started, and nothing else.

    client 10.64.0.2 --- front 10.64.0.1 [balancer] back 10.65.0.1 --- switch --- 10.65.0.11, .12, .13

With family=6 it is a network of IPv6: fd64::2, fd64::1, fd65::1, fd65::11 and so on.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

VIP = "10.99.0.1"
CLIENT = "10.64.0.2"
FRONT = "10.64.0.1"
BACK = "10.65.0.1"
ROOT = Path(__file__).resolve().parent.parent
# Python itself; "python3" may be a script that looks for it each time.
PYTHON = sys.executable


def run(*command, check=True, timeout=60, **options):
    """Runs a command to its end; what it printed is in the result."""
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, **options)
    if check and result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def wait_until(claim, seconds=60, every=0.02):
    """Waits until claim() is true; False when the time is over. The limit is for a machine that is busy with other things."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if claim():
            return True
        time.sleep(every)
    return bool(claim())


def in_namespace(name, function):
    """Calls it in a thread of its own that is in a network namespace; sockets made there stay there."""
    result, failure = [], []

    def work():
        try:
            with open(f"/run/netns/{name}", encoding="utf8") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:
                    raise OSError(ctypes.get_errno(), f"setns {name}")
            result.append(function())
        except Exception as error:  # it is the caller's
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


class Lab:
    made = 0  # by this process: each has names of its own

    # heartbeat_limit_ms: a worker that is silent for longer loses its packets, with --on-stall=pass to the kernel, which resets
    # connections it does not know. Beside other load a worker may get no processor for more than the 100 ms sluiced has by itself; None
    # leaves it at these, for tests that are about the limit.
    def __init__(self, servers=3, queues=1, one_arm=False, build=None, family=4, heartbeat_limit_ms=10000):
        Lab.made += 1
        self.tag = f"sl{os.getpid()}n{Lab.made}"
        self.servers = servers
        self.queues = queues
        self.one_arm = one_arm
        self.family = family
        self.heartbeat_limit_ms = heartbeat_limit_ms
        self.vip = VIP if family == 4 else "fd99::1"
        self.client = CLIENT if family == 4 else "fd64::2"
        self.front = FRONT if family == 4 else "fd64::1"
        self.back = BACK if family == 4 else "fd65::1"
        self.host_bits, self.network_bits = (32, 24) if family == 4 else (128, 64)
        self.build = Path(build or os.environ.get("SLUICE_BUILD", ROOT / "build/release"))
        self.folder = None
        self.processes = []
        self.connections = []
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
        for connection in self.connections:
            connection.close()
        self.connections.clear()
        # Nothing of sluiced's is left when its network is gone: it need not clean up, which takes it a second.
        if self.sluiced and self.sluiced.poll() is None:
            self.sluiced.kill()
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        end = time.monotonic() + 5
        for process in reversed(self.processes):
            try:
                process.wait(timeout=max(0.01, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        if self.namespaces:
            run("ip", "-force", "-batch", "-", check=False, input="".join(f"netns del {namespace}\n" for namespace in self.namespaces))
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
        names = ["client", "lb", "switch"] + [f"server{i}" for i in range(self.servers)]
        self.namespaces = [self.ns(name) for name in names]
        run("ip", "-batch", "-", input="".join(f"netns add {namespace}\n" for namespace in self.namespaces))
        for name in names:
            self._quieten(name)
        # First it is written down what is to be, then a few processes make it: one for every `ip` took a second.
        self._links = []
        self._inside = {name: ["link set lo up"] for name in names}
        self._interfaces = {name: [] for name in names}
        self._inside["switch"] += ["link add sw type bridge forward_delay 0", "link set sw up"]
        if self.one_arm:
            self._plug("client", "eth0", "to-client")
            self._plug("lb", "front", "to-front")
        else:
            self._cable("client", "eth0", "lb", "front")
            self._plug("lb", "back", "to-back")
            self._address("lb", "back", self.back)
        self._address("client", "eth0", self.client)
        self._address("lb", "front", self.front)
        self._inside["lb"].append(f"addr add {self.vip}/{self.host_bits} dev lo")
        self._inside["client"].append(f"route add {'10.99.0.0/24' if self.family == 4 else 'fd99::/64'} via {self.front}")
        gateway = self.front if self.one_arm else self.back
        for i in range(self.servers):
            self._plug(f"server{i}", "eth0", f"to-server{i}")
            self._address(f"server{i}", "eth0", self.server_address(i))
            # With one arm replies go through the balancer although the client is a neighbour.
            away = f"{self.client}/{self.host_bits}" if self.one_arm else "default"
            self._inside[f"server{i}"].append(f"route add {away} via {gateway}")
        run("ip", "-batch", "-", input="".join(f"{line}\n" for line in self._links))
        for name in names:
            self._set_up(name)

    def _quieten(self, name):
        # No chatter of IPv6 in the counters, and addresses that can be used at once.
        settings = {"disable_ipv6": 1} if self.family == 4 else {"accept_dad": 0, "accept_ra": 0, "router_solicitations": 0}
        values = {f"ipv6/conf/{which}/{option}": value for option, value in settings.items() for which in ("all", "default")}
        if self.one_arm and name not in ("client", "switch"):
            values.update({"ipv4/conf/all/send_redirects": 0, "ipv4/conf/all/accept_redirects": 0})

        def write():
            for setting, value in values.items():
                file = Path("/proc/sys/net") / setting
                if file.exists():  # a kernel without IPv6 has nothing to be quietened
                    file.write_text(str(value), encoding="utf8")
            return True

        in_namespace(self.ns(name), write)

    def _set_up(self, name):
        # Packets of a local stack must be complete: AF_XDP shows them as they are.
        features = " ".join(f"{feature} off" for feature in ("tx", "tso", "gso", "gro", "txvlan", "rxvlan"))
        script = "".join(f"ethtool -K {interface} {features}\n" for interface in self._interfaces[name]) + "exec ip -batch -\n"
        self.inside(name, "sh", "-c", script, input="".join(f"{line}\n" for line in self._inside[name]))

    def _address(self, name, interface, address):
        self._inside[name].append(f"addr add {address}/{self.network_bits} dev {interface}")

    def _cable(self, a, a_name, b, b_name):
        queues = f"numrxqueues {self.queues} numtxqueues {self.queues}"
        self._links.append(f"link add {a_name} netns {self.ns(a)} {queues} type veth peer name {b_name} netns {self.ns(b)} {queues}")
        for name, interface in ((a, a_name), (b, b_name)):
            self._interfaces[name].append(interface)
            self._inside[name].append(f"link set {interface} up")

    def _plug(self, name, interface, port):
        self._cable(name, interface, "switch", port)
        self._inside["switch"].append(f"link set {port} master sw")

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

    def connect(self, name, address, port, timeout=30):
        """A TCP connection from a namespace; it is closed when the lab is, if it is not before."""
        connection = in_namespace(self.ns(name), lambda: socket.create_connection((address, port), timeout))
        self.connections.append(connection)
        return connection

    # Real servers.

    def start_http(self, name, address, port, text, wait=True):
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
        if wait:
            self.wait_for_listener(name, port)
        return process

    def wait_for_listener(self, name, port, udp=False):
        # The namespace's own tables: a look costs no process.
        tables = ("udp", "udp6") if udp else ("tcp", "tcp6")
        listening = "07" if udp else "0A"

        def look():
            lines = [line.split() for table in tables for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()]
            return any(fields[1].endswith(f":{port:04X}") and fields[3] == listening for fields in lines)

        if not wait_until(lambda: in_namespace(self.ns(name), look)):
            raise RuntimeError(f"nothing listens on port {port} in {name}")

    def start_http_servers(self, port=80):
        for i in range(self.servers):
            self.start_http(f"server{i}", self.server_address(i), port, f"server {i}", wait=False)
        for i in range(self.servers):
            self.wait_for_listener(f"server{i}", port)

    # Sluice.

    def sluiced_command(self, *extra, interfaces=None):
        command = [self.build / "bin/sluiced", "--listen", self.socket]
        if "--state" not in extra:
            command += ["--state", "none"]
        # Where the host's kernel has IPVS it would go on where a test wants to see that nobody does.
        if not any(str(word).startswith("--kernel-ipvs") for word in extra):
            command += ["--kernel-ipvs", "off"]
        if self.heartbeat_limit_ms and "--heartbeat-limit-ms" not in extra:
            command += ["--heartbeat-limit-ms", str(self.heartbeat_limit_ms)]
        for interface in self.interfaces() if interfaces is None else interfaces:
            command += ["--interface", interface]
        return command + list(extra)

    def start_sluiced(self, *extra, interfaces=None):
        """Starts sluiced and waits until it is ready."""
        self.log = self.folder / "sluiced.log"
        with open(self.log, "a", encoding="utf8") as log:
            begin = log.tell()
            self.sluiced = self.start("lb", *self.sluiced_command(*extra, interfaces=interfaces), stdout=log, stderr=log)
        ready = wait_until(lambda: self.sluiced.poll() is not None or " ready: " in self.log_text(begin), 120)
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

    def fetch(self, port=80, timeout=30):
        """One HTTP request from the client; the answer, or '' if there is none. Who expects none says how long to wait."""
        result = self.inside("client", "curl", "-s", "--max-time", timeout, f"http://{self.endpoint(self.vip, port)}/", check=False)
        return result.stdout.strip()

    def info(self):
        """GetInfo, with the counters as a dictionary."""
        answer = json.loads(run(self.build / "bin/api_client", self.socket, "info").stdout)
        answer["counters"] = {counter["name"]: int(counter["value"]) for counter in answer["counters"]}
        return answer
