"""bench/run changes: how long configurations take to reach the workers, with many services, under load."""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

from forward import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from lab import CLIENT, VIP, Lab, run  # noqa: E402

CLIENTS = "10.66.0.0/24"
DESTINATIONS = 10


def parser():
    options = argparse.ArgumentParser(prog="bench/run changes", description="sluiced in a network of namespaces gets all services in one "
                                      "request, then a hundred changes a second while packets come that must not be lost.")
    options.add_argument("--services", type=int, default=10000, help="each with ten real servers (10000)")
    options.add_argument("--rate", default="50k", help="packets a second meanwhile (50k)")
    options.add_argument("--seconds", type=int, default=10)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--quick", action="store_true")
    return options


def resident(process):
    """Megabytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def load(services):
    """Milliseconds that the whole configuration took in one request, from nothing; and megabytes it takes."""
    with Lab(heartbeat_limit_ms=None) as lab:
        lab.start_sluiced()
        before = resident(lab.sluiced)
        took = float(run(lab.build / "bin/api_client", lab.socket, "load", services // 2, DESTINATIONS, timeout=120).stdout)
        return took, resident(lab.sluiced) - before


def print_loads(services, rounds):
    loads, sizes = zip(*(load(services) for _ in range(rounds)))
    print(f"{services:,} services with {DESTINATIONS} real servers each, in one request, from nothing: "
          f"{statistics.median(loads):.0f} ms ({min(loads):.0f} to {max(loads):.0f}), {statistics.median(sizes):.0f} MB", flush=True)


def change(options):
    """Milliseconds until all workers used a change: the middle, 99 of 100, the most; and packets lost meanwhile."""
    with Lab(heartbeat_limit_ms=None) as lab:
        lab.ip("lb", "route", "add", CLIENTS, "via", CLIENT)
        lab.start_sluiced()
        run(lab.build / "bin/api_client", lab.socket, "load", options.services // 2, DESTINATIONS)
        lab.add_service(protocol="-u")
        lab.add_service(protocol="-t")
        bench = lab.build / "bin/sluice-bench"
        for i in range(lab.servers):
            lab.start(f"server{i}", bench, "server", "--listen", f"{lab.server_address(i)}:80", stdout=subprocess.DEVNULL)
            lab.wait_for_listener(f"server{i}", 80)
        client = lab.start("client", bench, "client", "--to", f"{VIP}:80", "--from", CLIENTS, "--rate", options.rate, "--seconds",
                           options.seconds + 1, "--format", "json", stdout=subprocess.PIPE, text=True)
        servers = [lab.server_address(i) for i in range(lab.servers)]
        told = run(lab.build / "bin/api_client", lab.socket, "churn", 100, options.seconds, VIP, *servers, timeout=options.seconds + 60).stdout
        found = json.loads(client.communicate(timeout=60)[0])
        p50, p99, most = map(float, re.search(r"p50 (\S+) p99 (\S+) most (\S+)", told).groups())
        return p50, p99, most, found["lost"], found["sent"]


def main(arguments):
    options = parser().parse_args(arguments)
    if os.geteuid() != 0:
        print("bench/run changes: namespaces need root", file=sys.stderr)
        return 1
    if options.quick:
        options.services, options.seconds, options.rounds, options.rate = 1000, 1, 1, "5k"
    print_loads(options.services, options.rounds)
    if not options.quick:
        print_loads(5 * options.services, 1)
    rounds = [change(options) for _ in range(options.rounds)]
    names = ("p50", "p99", "the most")
    print("a change among them until every worker uses it: " +
          ", ".join(f"{name} {statistics.median(found[i] for found in rounds):.2f} ms" for i, name in enumerate(names)))
    lost, sent = sum(found[3] for found in rounds), sum(found[4] for found in rounds)
    print(f"{lost} of {sent:,} packets lost meanwhile")
    return 0
