"""bench/run testpmd: what DPDK's own dpdk-testpmd does with the same frames on a device in memory: it mends checksums and
swaps addresses (csum), or only passes on (io). It finds no flow and changes none: no balancer, but a yardstick.

They take turns with Sluice. testpmd's device gives frames of a file over and over, for a program of its own has nothing else
in memory; that costs more than the device of `bench/run forward`, which is why all are net of what only passes on: testpmd's
of `io`, Sluice's of the generator alone."""

import argparse
import os
import random
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import forward


def frame(flow):
    """UDP of 60 bytes, as bench/run forward has them."""
    payload = b"x" * 18
    udp = struct.pack("!HHHH", 1024 + flow % 60000, 80, 8 + len(payload), 1)
    source = 0x0A000000 + flow // 60000 + flow % 251
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(udp) + len(payload), 0, 0x4000, 64, 17, 0, source, 0x0A630001)
    return bytes.fromhex("020000000002020000000001") + b"\x08\x00" + ip + udp + payload


def capture(path, flows):
    order = list(range(flows))
    random.Random(1).shuffle(order)
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for flow in order:
            data = frame(flow)
            file.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)


def rate(path, mode, flows, seconds):
    """Packets a second, by testpmd's own count."""
    cpus = sorted(os.sched_getaffinity(0))
    command = ["dpdk-testpmd", "-l", f"{cpus[0]},{cpus[-1]}", "--no-huge", "--no-shconf", "--no-pci", "-m", "1024", "--file-prefix",
               f"bench{os.getpid()}", "--vdev", f"net_pcap0,rx_pcap={path},infinite_rx=1", "--", "--nb-cores=1", f"--forward-mode={mode}",
               "--auto-start", "--stats-period=1", f"--total-num-mbufs={4 * flows + 16384}", "--burst=32", "--no-flush-rx"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = process.communicate(timeout=seconds + 3)
    except subprocess.TimeoutExpired:
        process.terminate()
        printed, _ = process.communicate(timeout=10)
    rates = [int(number) for number in re.findall(r"Rx-pps:\s+(\d+)", printed)]
    if len(rates) < 3:
        sys.exit(f"bench/run testpmd: it did not forward:\n{printed[-2000:]}")
    return statistics.median(rates[1:])


def main(arguments):
    options = argparse.ArgumentParser(prog="bench/run testpmd", description=__doc__)
    options.add_argument("--flows", type=int, default=16384)
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--quick", action="store_true")
    options = options.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 4, 1
    if not shutil.which("dpdk-testpmd"):
        print("bench/run testpmd: dpdk-testpmd is not installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flows.pcap"
        capture(path, options.flows)
        ours = forward.parser().parse_args(["--flows", str(options.flows), "--rounds", "1", "--seconds", "0.5" if options.quick else "2"])
        found = {"dpdk-testpmd io": [], "dpdk-testpmd csum": [], "generator": [], "Sluice, NAT": []}
        for _ in range(options.rounds):
            for mode in ("io", "csum"):
                found[f"dpdk-testpmd {mode}"].append(1e9 / rate(path, mode, options.flows, options.seconds))
            result = forward.Result(ours, *forward.measure(ours))
            found["generator"] += result.ns("generator")
            found["Sluice, NAT"] += result.ns("sluice")
    print("| | million packets/s | ns a packet | net: median (least to most) |")
    print("|---|---|---|---|")
    for name, times in found.items():
        bare = found["generator" if name in ("generator", "Sluice, NAT") else "dpdk-testpmd io"]
        net = [each - of for each, of in zip(times, bare)]
        middle = statistics.median(times)
        print(f"| {name} | {1e3 / middle:.2f} | {middle:.1f} | {statistics.median(net):.1f} ({min(net):.1f} to {max(net):.1f}) |")
    return 0
