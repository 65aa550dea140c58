"""A guest with IPVS, a network for it, and our players: asked for a few seconds what the kernel does."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
import guest  # noqa: E402
from guest import BUILD  # noqa: E402, F401

GUESTS = 4
TOOLS = ("ipvsadm", "ip", "ethtool")
MODULES = ("net/netfilter", "net/ipv4", "net/ipv6", "net/core", "lib", "crypto", "arch/x86/crypto", "drivers/net/veth.ko")


def missing():
    return guest.missing(TOOLS)


def initramfs(scenarios, name="kernel"):
    files = guest.Initramfs(name)
    for program in (*TOOLS, BUILD / "bin/play_kernel", BUILD / "bin/ask_hashes"):
        files.add_program(program)
    files.add_file(HERE / "guest/init", "init")
    files.add_file(HERE / "guest/fresh_ipvs", "bin/fresh_ipvs")
    files.add_file(HERE / "guest/run_commands", "bin/run_commands")
    files.add_file("/etc/services", "etc/services")
    files.add_modules(*MODULES)
    (files.root / "scenarios").mkdir()
    for scenario in scenarios:
        files.add_file(scenario, f"scenarios/{scenario.name}")
    (files.root / "scenarios/list").write_text("\n".join(f"/scenarios/{scenario.name}" for scenario in scenarios))
    return files.pack()


def command(image, job):
    """`job`: what guest/init is to do."""
    return guest.command(image, f"sluice_job={job}")


def boot(job, scenarios, seconds, name="kernel"):
    """What the guest printed when it did the job; and the version of its kernel."""
    return guest.boot(command(initramfs(scenarios, name), job), seconds)


def play(scenarios, seconds):
    """What the kernel did in each scenario, by name; and the version of the kernel. Guests share the work: a scenario waits
    for timeouts of the kernel most of its time."""
    guest.kernel()
    shares = [share for share in (scenarios[i::GUESTS] for i in range(GUESTS)) if share]
    with ThreadPoolExecutor(GUESTS) as pool:
        played = list(pool.map(lambda i: boot("play", shares[i], seconds, f"kernel{i}"), range(len(shares))))
    told = {}
    for printed, _ in played:
        told.update(transcripts(printed))
    return told, played[0][1]


def transcripts(printed):
    parts = re.split(r"^=== \S*?([^/\s]+)$", printed, flags=re.M)
    return {name: text.strip("\n") for name, text in zip(parts[1::2], parts[2::2])}
