"""bench/run goals: the ratios that Sluice has set itself as goals, each of two configurations that take turns."""

import argparse
import statistics
import sys

from forward import CHANGING, HANDING, TELLING, Result, measure, parser

MANY = ["--services", "10000"]
LAST = ["--to", "last"]
TCP_FLOOD = ["--flows", "64k", "--new", "90%", "--protocol", "tcp"]
ALL_NEW = ["--flows", "1k", "--new", "100%"]
FULL = [*ALL_NEW, "--connections", "512k"]
TWO = ["--workers", "2"]

# What it is; goal; floor; how it is found; the options of `bench/run forward`, and of what it is compared with.
ROWS = (
    ("NAT, 64k flows, of the straw man", 0.8, 0.65, "share", ["--flows", "64k"], None),
    ("NAT, 1M flows, of the straw man", 0.8, 0.65, "share", [], None),
    ("direct against NAT", 1, 0.95, "rate", ["--method", "dr"], []),
    ("IPIP against NAT", 1, 0.95, "rate", ["--method", "ipip"], []),
    ("full NAT against NAT", 0.9, 0.8, "rate", ["--method", "fullnat"], []),
    ("IPv6 against IPv4", 0.85, 0.7, "rate", ["--family", "6"], []),
    ("8M flows against 1M", 0.95, 0.85, "rate", ["--flows", "8M"], []),
    ("10,000 services against 1, established, spread over all", 0.98, 0.95, "rate", MANY, []),
    ("10,000 services against 1, established, to the last", 0.98, 0.95, "rate", [*MANY, *LAST], []),
    ("10,000 services against 1, new flows, to the last", 0.98, 0.95, "rate", [*ALL_NEW, *MANY, *LAST], ALL_NEW),
    ("10,000 services against 1, new flows, spread over all", None, None, "rate", [*ALL_NEW, *MANY], ALL_NEW),
    ("new connections, of the straw man's", 0.7, None, "share", ALL_NEW, None),
    ("new connections, million/s", 4, 2.5, "opened", ALL_NEW, None),
    ("new connections, full NAT, million/s", 2.5, 1.5, "opened", [*ALL_NEW, "--method", "fullnat"], None),
    ("new connections into a full table, each evicts another, against room", 0.77, 0.77, "evicting", FULL, ALL_NEW),
    ("a flood of SYNs: established packets kept", 0.95, 0.85, "kept", TCP_FLOOD, None),
    ("two workers against one", 1.95, 1.85, "rate", TWO, []),
    ("every packet handed over, against none", 0.6, 0.5, "handing", [*TWO, "--hand-over", "beside"], None),
    ("1,000 changes a second among 10,000 services, against none", 0.97, None, "changing", [*MANY, "--changes", "1000"], None),
    ("connections told to the kernel, established flows", 0.97, None, "telling", ["--sync"], None),
    ("connections told to the kernel, a tenth of the packets opens one", 0.97, None, "telling", ["--sync", "--new", "10%"], None),
    ("bytes for an IPv4 connection, at most", 160, 256, "bytes", [], None),
)


def turn(kind, words, short):
    options = parser().parse_args([*words, "--rounds", "1", *short])
    return Result(options, *measure(options, alone=kind != "share"))


def value(kind, result, other):
    if kind == "share":
        return result.shares("sluice", "straw man")[0]
    if kind == "opened":
        return result.opened("sluice")[0] / 1e6
    if kind == "kept":
        return result.established_kept()
    if kind == "changing":
        return result.shares(CHANGING, "sluice")[0]
    if kind == "handing":
        return result.shares(HANDING, "sluice")[0]
    if kind == "telling":
        return result.shares(TELLING, "sluice")[0]
    if kind == "bytes":
        return result.bytes_per_connection
    if kind == "evicting" and result.evictions("sluice") < 0.9:
        sys.exit("bench/run goals: the table of so few --connections was not full")
    return result.rate("sluice")[0] / other.rate("sluice")[0]


def main(arguments):
    options = argparse.ArgumentParser(prog="bench/run goals", description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", default="", help="rows that contain this text")
    options.add_argument("--quick", action="store_true", help="only to see that it works")
    options = options.parse_args(arguments)
    short = ["--seconds", "0.5", "--warm-up", "0.5"]
    if options.quick:
        options.rounds, short = 1, ["--flows", "1k", "--seconds", "0.1", "--warm-up", "0.1"]
    print("| | goal | floor | middle | least | most | bench/run forward |\n|---|---|---|---|---|---|---|")
    for name, goal, floor, kind, words, other in ROWS:
        if options.only not in name:
            continue
        found = []
        for _ in range(options.rounds):
            result = turn(kind, words, short)
            found.append(value(kind, result, None if other is None else turn(kind, other, short)))
        middle = statistics.median(found)
        wanted = floor or goal or 0
        reached = middle <= wanted if kind == "bytes" else middle >= wanted
        mark = "" if reached else "**"
        versus = "" if other is None else f" / {' '.join(other) or 'default'}"
        print(f"| {name} | {goal or ''} | {floor or ''} | {mark}{middle:.3g}{mark} | {min(found):.3g} | {max(found):.3g} | "
              f"`{' '.join(words) or 'default'}{versus}` |", flush=True)
    return 0
