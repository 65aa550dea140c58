"""bench/run soak: does anything grow, or fall behind, in the long run?"""

import argparse
import json
import subprocess
import sys

from forward import BUILD, number


def main(arguments):
    options = argparse.ArgumentParser(prog="bench/run soak", description="Mixed traffic, new connections at the table's limit, and a "
                                      "hundred configuration changes a second, for long.")
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--connections", type=number, default="256k", help="room in the table; twice the established flows")
    options.add_argument("--services", type=number, default="100")
    options = options.parse_args(arguments)
    command = [BUILD / "bin/forward_bench", "--flows", options.connections // 2, "--connections", options.connections, "--services", options.services,
               "--new", 0.2, "--answers", 0.2, "--fragments", 0.05, "--soak", options.minutes * 60]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        line = json.loads(line)
        if "second" not in line:
            continue
        lines.append(line)
        if not sys.stdout.isatty() and line["second"] % 10 != 0:
            continue
        print(f"\r{line['second']:5d} s  {line['resident'] >> 20} MB  round p50 {line['p50']} p99 {line['p99']} p99.9 {line['p999']} "
              f"most {line['most']} µs  timers {line['timer_lag_ms']} ms late at most  change {line['slowest_change_ms']} ms ",
              end="" if sys.stdout.isatty() else "\n", flush=True)
    print()
    if process.wait() != 0 or len(lines) < 2:
        print("it did not come to the end")
        return 1
    first, last = lines[min(5, len(lines) // 2)], lines[-1]
    seconds = last["second"] - first["second"]
    for name in ("sent", "created", "evicted", "refused", "changes"):
        print(f"{name}: {(last[name] - first[name]) / max(1, seconds):,.0f} a second")
    print(f"timers at most {max(line['timer_lag_ms'] for line in lines)} ms late; a change until the worker used it: p50 "
          f"{last['change_p50_ms']} p99 {last['change_p99_ms']} most {max(line['slowest_change_ms'] for line in lines)} ms")
    grown = last["resident"] - first["resident"]
    print(f"memory: {grown >> 10} KB more at the end than after {first['second']} s")
    return 1 if grown > 16 << 20 else 0
