"""bench/run versus-kernel: Sluice beside the kernel's own ways of balancing, on the same wires.

A client, a balancer and three servers in namespaces of this run. The balancer forwards by iptables rules as kube-proxy
writes them (of both back ends), by nftables maps, or by sluiced on the same interfaces. The service that is measured is the
last of all. Beside it kernel IPVS and Sluice, both in a booted kernel, for this machine's kernel may have no IPVS.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import chart
import rules
import versus_ipvs
from forward import BUILD, ROOT, number

sys.path.insert(0, str(ROOT / "tools"))
from lab import CLIENT, Lab, run, wait_until  # noqa: E402

CLIENTS = "10.66.0.0/16"
SERVERS = 3
COUNTS = (1, 100, 1000, 5000, 10000)
BENCH = BUILD / "bin/sluice-bench"
CONNTRACK = {"/proc/sys/net/netfilter/nf_conntrack_max": "4000000", "/sys/module/nf_conntrack/parameters/hashsize": "1048576"}


def service_address(number):
    return f"10.100.{number // 256}.{number % 256}"


def services(count, lab):
    """The last is the one that is measured: its endpoints are there."""
    def endpoints(number):
        return [f"10.{128 + place // 65536}.{place // 256 % 256}.{place % 256}" for place in range(number * SERVERS, (number + 1) * SERVERS)]
    answer = [(number, service_address(number), endpoints(number)) for number in range(count)]
    answer[-1] = (count - 1, service_address(count - 1), [lab.server_address(i) for i in range(SERVERS)])
    return answer


def busy_seconds():
    """What all CPUs have worked, in any way."""
    fields = Path("/proc/stat").read_text(encoding="utf8").splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


class Way:
    """One way of balancing; `load` and `add` tell how long it took."""

    def __init__(self, lab):
        self.lab = lab

    def timed(self, *command, **options):
        begin = time.monotonic()
        self.lab.inside("lb", *command, timeout=400, **options)
        return time.monotonic() - begin


class Iptables(Way):
    def __init__(self, lab, backend):
        super().__init__(lab)
        self.restore = f"iptables-{backend}-restore"

    def load(self, all_services):
        return self.timed(self.restore, input=rules.iptables(all_services))

    def add(self, service):
        return self.timed(self.restore, "--noflush", input=rules.iptables_addition(service))


class Nftables(Way):
    # All chains in one transaction take time by their square in the kernel; kube-proxy sends changes, too.
    AT_ONCE = 500

    def load(self, all_services):
        took = self.timed("nft", "-f", "-", input=rules.nftables_frame())
        for begin in range(0, len(all_services), self.AT_ONCE):
            took += self.timed("nft", "-f", "-", input=rules.nftables(all_services[begin:begin + self.AT_ONCE]))
        return took

    def add(self, service):
        return self.timed("nft", "-f", "-", input=rules.nftables([service]))


class Sluice(Way):
    def load(self, all_services):
        self.lab.start_sluiced("--connections", "4194304")
        begin = time.monotonic()
        if len(all_services) > 1:
            run(self.lab.build / "bin/api_client", self.lab.socket, "load", len(all_services) - 1, SERVERS)
        self.add(all_services[-1])
        return time.monotonic() - begin

    def add(self, service):
        _, address, endpoints = service
        destinations = [{"address": endpoint, "port": 80, "method": "NAT", "weight": 1} for endpoint in endpoints]
        changes = [{"putService": {"service": {"key": {"protocol": protocol.upper(), "address": address, "port": 80}, "scheduler": "rr",
                                               "destinations": destinations}, "replaceDestinations": True}}
                   for protocol in rules.PROTOCOLS]
        begin = time.monotonic()
        run(self.lab.build / "bin/api_client", self.lab.socket, "apply", json.dumps({"changes": changes}))
        return time.monotonic() - begin


WAYS = {"iptables-nft": lambda lab: Iptables(lab, "nft"), "iptables-legacy": lambda lab: Iptables(lab, "legacy"), "nftables": Nftables,
        "Sluice": Sluice}


class Field:
    """Where one way with so many services is measured."""

    def __init__(self, lab, seconds):
        self.lab = lab
        self.seconds = seconds
        self.cpu = min(os.sched_getaffinity(0))

    def prepare(self):
        lab = self.lab
        lab.inside("lb", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.front.rp_filter=0")
        # Only the balancer has rules.
        lab.inside("switch", "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", check=False)
        lab.ip("lb", "route", "add", CLIENTS, "via", CLIENT)
        lab.ip("client", "route", "add", "10.100.0.0/16", "via", lab.front)
        for i in range(SERVERS):
            mac = json.loads(lab.inside(f"server{i}", "ip", "-j", "link", "show", "eth0").stdout)[0]["address"]
            lab.ip("lb", "neigh", "replace", lab.server_address(i), "lladdr", mac, "dev", "back", "nud", "permanent")
            lab.start(f"server{i}", BENCH, "server", "--listen", f"{lab.server_address(i)}:80", stdout=subprocess.DEVNULL)
            lab.wait_for_listener(f"server{i}", 80)

    def client(self, address, *arguments):
        answer = self.lab.inside("client", "taskset", "-c", self.cpu, BENCH, "client", "--to", f"{address}:80", "--format", "json", *arguments,
                                 timeout=self.seconds + 60)
        return json.loads(answer.stdout)

    def check(self, address):
        """It does what it shall: every packet of every flow is answered."""
        found = self.client(address, "--from", CLIENTS, "--flows", "64", "--rate", "2k", "--seconds", "0.5")
        if found["sent"] == 0 or found["lost"] > 0:
            raise RuntimeError(f"{found['lost']} of {found['sent']} packets were not answered")

    def swallow(self, on):
        """Servers count at their interface, and answer nothing."""
        for i in range(SERVERS):
            self.lab.ip(f"server{i}", "addr", "del" if on else "add", f"{self.lab.server_address(i)}/24", "dev", "eth0")
            if not on:
                self.lab.ip(f"server{i}", "route", "replace", "default", "via", self.lab.back)

    def received(self):
        return sum(int(self.lab.inside(f"server{i}", "cat", "/sys/class/net/eth0/statistics/rx_packets").stdout) for i in range(SERVERS))

    def cost_of_client(self, address):
        """CPU seconds a million packets, when the balancer throws them away as they come in."""
        entry = "table netdev bench {\n chain entry {\n  type filter hook ingress device front priority 0; policy drop;\n }\n}\n"
        self.lab.inside("lb", "nft", "-f", "-", input=entry)
        busy = busy_seconds()
        sent = self.client(address, "--from", CLIENTS, "--one-way", "yes", "--flows", "1k", "--seconds", self.seconds)["sent"]
        busy = busy_seconds() - busy
        self.lab.inside("lb", "nft", "delete", "table", "netdev", "bench")
        return busy * 1e6 / max(sent, 1)

    def forwarded(self, address, *arguments):
        """Packets a second that came to the servers, and CPU seconds a million of them."""
        self.client(address, "--from", CLIENTS, "--one-way", "yes", "--seconds", "0.3", *arguments)
        time.sleep(0.3)
        received, busy = self.received(), busy_seconds()
        begin = time.monotonic()
        self.client(address, "--from", CLIENTS, "--one-way", "yes", "--seconds", self.seconds, *arguments)
        took = time.monotonic() - begin
        time.sleep(0.1)
        packets = self.received() - received
        return packets / min(took, self.seconds + 0.5), (busy_seconds() - busy) * 1e6 / max(packets, 1)


def idle_cpu(pid, seconds):
    def used():
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before = used()
    time.sleep(seconds)
    return (used() - before) / seconds


def measure(name, count, options):
    """One way with so many services; None where loading takes too long."""
    with Lab(servers=SERVERS, heartbeat_limit_ms=None) as lab:
        field = Field(lab, options.seconds)
        field.prepare()
        address = service_address(count - 1)
        way = WAYS[name](lab)
        result = {"way": name, "services": count, "load_seconds": way.load(services(count, lab))}
        field.check(address)
        if name == "Sluice":
            result["idle_cpu"] = idle_cpu(lab.sluiced.pid, options.seconds)
        rounds = []
        for _ in range(options.rounds):
            tcp = field.client(address, "--protocol", "tcp", "--seconds", options.seconds)
            field.swallow(True)
            established, cpu = field.forwarded(address, "--flows", "1k")
            found = {"established": established, "cpu": cpu, "new": field.forwarded(address, "--flows", "1", "--new", "100%")[0]}
            if name != "Sluice":
                found["cpu_of_client"] = field.cost_of_client(address)
            field.swallow(False)
            found["tcp"] = tcp["connected_a_second"]
            found["tcp_p99_us"] = tcp.get("latency_us_p99", 0)
            rounds.append(found)
        for key in rounds[0]:
            result[key] = statistics.median(found[key] for found in rounds)
        result["add_seconds"] = add_under_load(lab, way, address, count)
        return result


def add_under_load(lab, way, address, count):
    load = subprocess.Popen([str(part) for part in ("ip", "netns", "exec", lab.ns("client"), BENCH, "client", "--to", f"{address}:80", "--from",
                                                    CLIENTS, "--rate", "20k", "--new", "5%", "--seconds", "60", "--format", "json")],
                            stdout=subprocess.DEVNULL)
    lab.processes.append(load)
    time.sleep(0.5)
    took = [way.add((count + i, service_address(count + i), [f"10.200.{i}.{server + 1}" for server in range(SERVERS)])) for i in range(3)]
    load.terminate()
    load.wait()
    return statistics.median(took)


def ways(text):
    for name in text.split(","):
        if name not in WAYS:
            raise argparse.ArgumentTypeError(f"{name}: must be one of {', '.join(WAYS)}")
    return text.split(",")


def numbers(text):
    return [number(count) for count in text.split(",")]


def parser():
    options = argparse.ArgumentParser(prog="bench/run versus-kernel", description=__doc__.split("\n\n", 1)[1])
    options.add_argument("--services", type=numbers, default=",".join(map(str, COUNTS)), help="numbers of services (1,100,1000,5000,10000)")
    options.add_argument("--ways", type=ways, default=",".join(WAYS), help="of " + ", ".join(WAYS))
    options.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--no-ipvs", action="store_true", help="do not boot a kernel for its IPVS")
    options.add_argument("--quick", action="store_true", help="short: to see that it works")
    options.add_argument("--output", type=Path, default=ROOT / "bench/results", help="folder for the table and the pictures")
    return options


class ManyConnections:
    """The kernel's room for connections, while this lasts."""

    def __enter__(self):
        subprocess.run(["iptables-nft", "-t", "nat", "-L", "-n"], check=False, capture_output=True)  # conntrack is there from now on
        self.before = {path: Path(path).read_text(encoding="utf8") for path in CONNTRACK if Path(path).exists()}
        for path in self.before:
            self.write(path, CONNTRACK[path])

    def __exit__(self, *_):
        for path, value in self.before.items():
            self.write(path, value)

    @staticmethod
    def write(path, value):
        try:
            Path(path).write_text(value, encoding="utf8")
        except OSError as error:
            print(f"{path}: {error.strerror}; the kernel's ways may run out of connections", file=sys.stderr)


def main(arguments):
    options = parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("bench/run versus-kernel: namespaces need root", file=sys.stderr)
        return 1
    counts = options.services
    if options.quick:
        counts, options.rounds, options.seconds = [100], 1, 0.4
    results = []
    print(HEADER, flush=True)
    with ManyConnections():
        for count in counts:
            for name in options.ways:
                result = measure(name, count, options)
                results.append(result)
                print(row(result), flush=True)
    if not options.quick:
        write(options.output, results, [])
    if not options.no_ipvs:
        ipvs = versus_ipvs.measure(counts, options.quick)
        print("\n" + versus_ipvs.table(ipvs))
        if not options.quick:
            write(options.output, results, ipvs)
    return 0


HEADER = ("| services | | established, k packets/s | CPU s a million, net | new flows, k/s | TCP connections, k/s | p99, ms | loaded in s | one added in ms |\n"
          "|---|---|---|---|---|---|---|---|---|")


def row(result):
    client = result.get("cpu_of_client")
    net = "" if client is None else f"{result['cpu'] - client:.2f}"
    return (f"| {result['services']:,} | {result['way']} | {result['established'] / 1e3:.0f} | {net} | {result['new'] / 1e3:.1f} | "
            f"{result['tcp'] / 1e3:.1f} | {result['tcp_p99_us'] / 1e3:.1f} | {result['load_seconds']:.2f} | {result['add_seconds'] * 1e3:.0f} |")


def write(folder, results, ipvs):
    folder.mkdir(parents=True, exist_ok=True)
    client = statistics.median([result["cpu_of_client"] for result in results if "cpu_of_client" in result] or [0])
    for result in results:
        result.setdefault("cpu_of_client", client)
    (folder / "versus-kernel.json").write_text(json.dumps({"namespaces": results, "booted kernel": ipvs}, indent=1) + "\n", encoding="utf8")
    text = "\n".join([HEADER] + [row(result) for result in results]) + "\n"
    if ipvs:
        text += "\n" + versus_ipvs.table(ipvs) + "\n"
    (folder / "versus-kernel.md").write_text(text, encoding="utf8")
    for key, title, factor in (("established", "Packets of established flows, a second", 1), ("new", "New flows a second", 1),
                               ("load_seconds", "Seconds to load all services", 1)):
        lines = {}
        for result in results:
            lines.setdefault(result["way"], []).append((result["services"], result[key] * factor))
        (folder / f"versus-kernel-{key.split('_')[0]}.svg").write_text(chart.draw(title, "services", lines), encoding="utf8")
    print(f"\nwritten to {folder}", flush=True)
