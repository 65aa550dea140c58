"""bench/run forward: runs forward_bench and says what came out; bench/run table: a row for each configuration."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build/release"))


def number(text):
    """1000, 64k, 1M: the last two in powers of two."""
    factors = {"k": 1 << 10, "M": 1 << 20}
    value = int(text[:-1]) * factors[text[-1]] if text[-1:] in factors else int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return value


def power_of_two(text):
    value = number(text)
    if value & (value - 1):
        raise argparse.ArgumentTypeError(f"{text}: must be a power of two, as 64k or 1M")
    return value


def share(text):
    value = float(text.rstrip("%")) / 100
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 0%..100%")
    return value


def parser():
    options = argparse.ArgumentParser(prog="bench/run forward", description="The burst loop in memory: real workers, tables and "
                                      "packets; source and sink on the same core. 64-byte frames of flows in an order without pattern.")
    options.add_argument("--flows", type=power_of_two, default="1M", help="established ones; a power of two (1M)")
    options.add_argument("--method", default="nat", choices=["nat", "fullnat", "dr", "ipip", "gre", "gue"])
    options.add_argument("--family", default="4", choices=["4", "6"])
    options.add_argument("--protocol", default="udp", choices=["udp", "tcp"])
    options.add_argument("--scheduler", default="rr")
    options.add_argument("--services", type=number, default=1)
    options.add_argument("--to", default="all", choices=["all", "last"], help="of the services get packets")
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("--new", type=share, default=0, help="share of packets that open a connection: 10%%")
    options.add_argument("--answers", type=share, default=0, help="share of packets that are answers of real servers")
    options.add_argument("--fragments", type=share, default=0, help="share of packets that are one of two fragments")
    options.add_argument("--hand-over", nargs="?", default="no", const="yes", choices=["no", "yes", "beside"], help="every packet comes "
                         "to another worker than its flow's: in all turns, or in turns of their own (beside). Every queue is offered as much")
    options.add_argument("--changes", type=number, default=0, help="of the configuration, a second, in turns of their own")
    options.add_argument("--sync", action="store_true", help="workers tell of their connections, in turns of their own")
    options.add_argument("--backlog", action="store_true", help="every burst is full, as of a queue that overflows")
    options.add_argument("--connections", type=number, default=0, help="room in the table of each worker")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=1.0, help="of each turn")
    options.add_argument("--warm-up", type=float, default=0.8, help="seconds of everybody's first turn, which is not counted")
    options.add_argument("--json", action="store_true")
    return options


def measure(options, alone=False, under=()):
    """What forward_bench printed: its first line, and the turns; alone: Sluice's only; under: a command that runs it."""
    if options.fragments and options.family == "6":
        sys.exit("bench/run forward: --fragments is for IPv4")
    if options.answers and options.method not in ("nat", "fullnat"):
        sys.exit(f"bench/run forward: with --method {options.method} answers do not come by the balancer")
    if options.hand_over != "no" and options.workers < 2:
        sys.exit("bench/run forward: --hand-over needs --workers 2 or more")
    command = [*under, BUILD / "bin/forward_bench", "--alone", "yes" if alone else "no"]
    for name in ("flows", "method", "family", "protocol", "scheduler", "services", "workers", "new", "answers", "fragments",
                 "to", "hand_over", "connections", "changes", "rounds", "seconds", "warm_up"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    command += ["--sync", "yes" if options.sync else "no", "--backlog", "yes" if options.backlog else "no"]
    limit = 120 + 6 * (options.rounds + 2) * (options.seconds + 1)
    ended = subprocess.run([str(word) for word in command], check=False, stdout=subprocess.PIPE, text=True, timeout=limit)
    if ended.returncode != 0:
        sys.exit("bench/run forward: forward_bench failed; what it said is above")
    first, *turns = [json.loads(line) for line in ended.stdout.splitlines()]
    return first, turns


CHANGING = "sluice, while it changes"
TELLING = "sluice, while it tells"
HANDING = "sluice, handing over"
BESIDE = (CHANGING, TELLING, HANDING)  # turns beside Sluice's own


class Result:
    """Medians over the rounds; ratios are taken round by round, of turns that were neighbours."""

    def __init__(self, options, first, turns):
        self.options = options
        self.bytes_per_connection = first["bytes"] / first["connections"]
        self.hertz = first["hertz"]
        self.turns = {}
        for turn in turns:
            self.turns.setdefault(turn["name"], []).append(turn)

    @staticmethod
    def forwarded(turn):
        """Not those that found no room because more came than could be taken."""
        return turn["counts"].get("sent", turn["packets"])

    def ns(self, name):
        """For a packet, of each round; generator and all."""
        return [1e9 * turn["seconds"] * self.options.workers / self.forwarded(turn) for turn in self.turns[name]]

    def net(self, name):
        return [whole - alone for whole, alone in zip(self.ns(name), self.ns("generator"))]

    def rate(self, name):
        return [self.forwarded(turn) / turn["seconds"] for turn in self.turns[name]]

    def opened(self, name):
        return [turn["counts"].get("connections_created", 0) / turn["seconds"] for turn in self.turns[name]]

    def evictions(self, name):
        """For a connection that was opened, the least of the rounds."""
        evicted = [sum(n for key, n in turn["counts"].items() if key.startswith("evicted_")) for turn in self.turns[name]]
        return min(n / max(1, turn["counts"].get("connections_created", 0)) for n, turn in zip(evicted, self.turns[name]))

    def shares(self, name, of):
        """Of the rate of another, generator and all: median, least, most."""
        ratios = [mine / theirs for mine, theirs in zip(self.rate(name), self.rate(of))]
        return statistics.median(ratios), min(ratios), max(ratios)

    def drops(self):
        """By name, of packets that Sluice did not send; empty is as it should be."""
        lost = {}
        for turn in [turn for name in ("sluice", *BESIDE) for turn in self.turns.get(name, [])]:
            for name, count in turn["counts"].items():
                if name.startswith(("drop_", "refused_", "kernel_")):
                    lost[name] = lost.get(name, 0) + count
        return lost

    def established_kept(self):
        """The share of packets of established flows that went out."""
        kept = []
        for turn in self.turns["sluice"]:
            opened = turn["counts"].get("connections_created", 0)
            kept.append((turn["counts"].get("sent", 0) - opened) / max(1, turn["packets"] - turn["new"]))
        return statistics.median(kept)

    def dictionary(self):
        answer = {"options": vars(self.options), "bytes_per_connection": self.bytes_per_connection, "drops": self.drops()}
        for name in self.turns:
            answer[name] = {"mpps": statistics.median(self.rate(name)) / 1e6, "ns": statistics.median(self.ns(name)),
                            "net_ns": statistics.median(self.net(name)), "opened_per_second": statistics.median(self.opened(name))}
        if CHANGING in self.turns:
            answer["changes_per_second"] = statistics.median(turn["counts"]["changes"] / turn["seconds"] for turn in self.turns[CHANGING])
            answer["rate kept while it changes"] = self.shares(CHANGING, "sluice")
        if TELLING in self.turns:
            answer["rate kept while it tells"] = self.shares(TELLING, "sluice")
            answer["told_per_second"] = statistics.median(turn["counts"].get("told", 0) / turn["seconds"] for turn in self.turns[TELLING])
        if HANDING in self.turns:
            answer["rate kept while handing over"] = self.shares(HANDING, "sluice")
        for name in self.turns.keys() - {"sluice", "generator", *BESIDE}:
            answer[f"share of {name}"] = self.shares("sluice", name)
        return answer


def run(arguments):
    options = parser().parse_args(arguments)
    return Result(options, *measure(options))


def main(arguments):
    options = parser().parse_args(arguments)
    result = Result(options, *measure(options))
    if options.json:
        print(json.dumps(result.dictionary(), indent=1))
        return 0
    print("| | million packets/s | ns a packet | net of the generator | cycles, net | million new/s | Sluice's share: median (least to most) |")
    print("|---|---|---|---|---|---|---|")
    for name in result.turns:
        net = statistics.median(result.net(name))
        against = "" if name in ("sluice", "generator", *BESIDE) else "{:.0%} ({:.0%} to {:.0%})".format(*result.shares("sluice", name))
        print(f"| {name} | {statistics.median(result.rate(name)) / 1e6:.2f} | {statistics.median(result.ns(name)):.1f} | {net:.1f} | "
              f"{net * result.hertz / 1e9:.0f} | {statistics.median(result.opened(name)) / 1e6:.2f} | {against} |")
    print()
    for name in BESIDE:
        if name in result.turns:
            print("{}: {:.0%} ({:.0%} to {:.0%}) of the rate without".format(name, *result.shares(name, "sluice")))
    print(f"{result.bytes_per_connection:.0f} bytes for each connection there is room for")
    if 0 < options.new < 1:
        print(f"{result.established_kept():.1%} of the established flows' packets went out")
    for name, count in result.drops().items():
        print(f"{name}: {count}")
    return 0


ROWS = (
    ("NAT, 64k flows", ["--flows", "64k"]),
    ("NAT, 1M flows", []),
    ("NAT, 8M flows", ["--flows", "8M"]),
    ("NAT, 1M flows, 10,000 services", ["--services", "10000"]),
    ("NAT, TCP, 1M flows", ["--protocol", "tcp"]),
    ("NAT, 1M flows, half of it answers", ["--answers", "50%"]),
    ("full NAT, 1M flows", ["--method", "fullnat"]),
    ("direct, 1M flows", ["--method", "dr"]),
    ("IPIP, 1M flows", ["--method", "ipip"]),
    ("IPv6 NAT, 1M flows", ["--family", "6"]),
    ("NAT, 64k flows, a tenth new", ["--flows", "64k", "--new", "10%"]),
    ("NAT, every packet new", ["--flows", "1k", "--new", "100%"]),
    ("full NAT, every packet new", ["--flows", "1k", "--new", "100%", "--method", "fullnat"]),
    ("NAT, TCP, 64k flows, nine tenths SYNs", ["--flows", "64k", "--new", "90%", "--protocol", "tcp"]),
    ("two workers, 1M flows", ["--workers", "2"]),
    ("two workers, every packet handed over", ["--workers", "2", "--hand-over"]),
)


def table(arguments):
    """Every row, one after the other; with --quick only to see that all of it works."""
    quick = "--quick" in arguments
    short = ["--rounds", "1", "--seconds", "0.2", "--warm-up", "0.2"] if quick else ["--rounds", "3", "--seconds", "0.7"]
    print("| | million packets/s (least to most) | ns, net | of the straw man | of it on rte_hash | million new/s | bytes a connection | "
          "bench/run forward |")
    print("|---|---|---|---|---|---|---|---|")
    faults = []
    for name, row in ROWS:
        if quick and "8M" in row:
            continue
        # A million flows take seconds to set up: once is enough to see that it works.
        fewer = ["--flows", "64k"] if quick and row and "--flows" not in row else []
        result = run([*row, *fewer, *short])
        men = ["{:.0%} ({:.0%} to {:.0%})".format(*result.shares("sluice", man)) if man in result.turns else "" for man in
               ("straw man", "straw man on rte_hash")]
        opened = statistics.median(result.opened("sluice")) / 1e6
        rates = [rate / 1e6 for rate in result.rate("sluice")]
        print(f"| {name} | {statistics.median(rates):.1f} ({min(rates):.1f} to {max(rates):.1f}) | {statistics.median(result.net('sluice')):.1f} | "
              f"{men[0]} | {men[1]} | {f'{opened:.2f}' if opened else ''} | {result.bytes_per_connection:.0f} | "
              f"`{' '.join(row) or 'default'}` |", flush=True)
        # In a flood the youngest make room.
        expected = {"refused_table_full", "drop_connection_reused"} if result.options.new > 0 else set()
        faults += [f"{name}: {lost} {count}" for lost, count in result.drops().items() if lost not in expected]
    for fault in faults:
        print(f"packets were lost: {fault}")
    return 1 if faults else 0
