"""bench/run parts: the Google Benchmark programs, and the XDP program's cost."""

import os
import subprocess

from forward import BUILD


def main(arguments):
    # The tables of eight million take half a minute to fill.
    quick = ["--benchmark_min_time=0.01", "--benchmark_filter=-/8388608"] if "--quick" in arguments else []
    for program in ("parts_bench", "config_bench"):
        subprocess.run([BUILD / "bin" / program, *quick], check=True)
    subprocess.run([BUILD / "bin/pick_bench", *(["--quick"] if "--quick" in arguments else [])], check=True)
    if os.geteuid() == 0:
        subprocess.run([BUILD / "bin/steer_bench"], check=True)
    return 0
