"""bench/run profile: where Sluice's time goes, by perf: functions, and the instructions waited for."""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import forward
from forward import BUILD, ROOT

# Those that bench/README.md speaks of.
PROFILES = (
    ("NAT, 64k flows", ["--flows", "64k"]),
    ("NAT, 1M flows", []),
    ("IPIP, 1M flows", ["--method", "ipip"]),
    ("IPv6 NAT, 1M flows", ["--family", "6"]),
    ("NAT, every packet new", ["--flows", "1k", "--new", "100%"]),
    ("NAT, every packet new, spread over 10,000 services", ["--flows", "1k", "--new", "100%", "--services", "10000"]),
    ("two workers, every packet handed over", ["--workers", "2", "--hand-over"]),
)
WORKER = "rte-worker-1"
GENERATOR = ("sluice::Traffic::", "sluice::Source::")
FUNCTIONS = 14  # of which so many are printed
ANNOTATED = 4   # and of the first of them the hottest instructions


def perf(*words):
    ended = subprocess.run(["perf", *map(str, words)], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return ended.stdout


def symbols(data):
    """Share of the worker's time by function; what has no name goes by its library."""
    shares = {}
    text = perf("report", "-i", data, "--stdio", "--sort", "comm,dso,symbol", "-t", "|")
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) < 4 or not fields[0].endswith("%") or fields[1] != WORKER:
            continue
        library, symbol = fields[2:4]
        name = re.sub(r"^\[[.k]\] ", "", symbol)
        if name.startswith("0x"):
            name = library.split(".so")[0]
        elif library == "[kernel.kallsyms]":
            name = "the kernel"
        shares[name] = shares.get(name, 0) + float(fields[0].rstrip("%"))
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def plain(function):
    return re.sub(r"\(anonymous namespace\)::|\(.*", "", function)


def hottest(data, name):
    """The three instructions of a function behind which most time passed: a sample tells of the one after the one waited for."""
    text = perf("annotate", "-i", data, "--stdio", "-s", name)
    lines = re.findall(r"^\s+(\d+\.\d+)\s+:\s+[0-9a-f]+:\s+(.*)$", text, re.M)
    found = sorted(((float(share), before) for (_, before), (share, _) in zip(lines, lines[1:])), reverse=True)
    return [f"{share:.0f} % `{re.sub(r' +', ' ', re.sub(r' *<.*', '', instruction))}`" for share, instruction in found[:3]]


def profile(name, words, seconds):
    options = forward.parser().parse_args([*words, "--rounds", str(max(1, round(seconds))), "--seconds", "1", "--warm-up", "0.5"])
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        under = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-o", data, "--"]
        first, turns = forward.measure(options, alone=True, under=under)
        result = forward.Result(options, first, turns)
        shares = symbols(data)
        if not shares:
            return False
        whole = sum(shares.values())
        ns = forward.statistics.median(result.ns("sluice"))
        print(f"\n## {name}\n\n`{' '.join(['bench/run profile', *words])}`: {ns:.0f} ns a packet, generator and all.\n")
        print("| | % | ns a packet |\n|---|---|---|")
        for function, share in list(shares.items())[:FUNCTIONS]:
            mark = " (generator)" if function.startswith(GENERATOR) else ""
            print(f"| `{plain(function)}`{mark} | {100 * share / whole:.1f} | {ns * share / whole:.1f} |")
        print("\n| of the time in | passed behind |\n|---|---|")
        for function in [each for each in shares if each.startswith("sluice::") and not each.startswith(GENERATOR)][:ANNOTATED]:
            instructions = hottest(data, function)
            if instructions:
                print(f"| `{plain(function)}` | {'; '.join(instructions)} |", flush=True)
    return True


def main(arguments):
    options = argparse.ArgumentParser(prog="bench/run profile", description=__doc__ + " Options of bench/run forward choose one; "
                                      "without any, all that bench/README.md speaks of.")
    options.add_argument("--quick", action="store_true", help="only to see that it works")
    options, words = options.parse_known_args(arguments)
    if not shutil.which("perf"):
        print("bench/run profile: perf is not installed; ./tools/setup does it")
        return 0 if options.quick else 1
    seconds = 1 if options.quick else 6
    print(f"# Where the time goes\n\nBy `bench/run profile`, at commit {commit()}: perf's samples of the first worker, 4,000 a second.")
    for name, row in [(" ".join(words), words)] if words else PROFILES[:2] if options.quick else PROFILES:
        if not profile(name, row, seconds):
            print("bench/run profile: perf saw nothing: may it look here? (kernel.perf_event_paranoid)")
            return 0 if options.quick else 1
    return 0


def commit():
    ended = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], check=False, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True)
    return ended.stdout.strip() or "unknown"
