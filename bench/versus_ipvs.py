"""Kernel IPVS and Sluice in the same booted kernel: emulated, so that only their ratio says something."""

import re
import sys
from pathlib import Path

from forward import BUILD, ROOT

sys.path.insert(0, str(ROOT / "tests/support"))
import guest  # noqa: E402

HERE = Path(__file__).resolve().parent
TOOLS = ("ip", "ipvsadm", "ethtool")
PROGRAMS = ("sluiced", "sluiceadm", "api_client", "sluice-bench")
PLUGINS = ("bus_vdev", "mempool_ring", "net_af_xdp")
MODULES = ("net/netfilter", "net/ipv4", "net/ipv6", "net/core", "lib", "crypto", "arch/x86/crypto", "drivers/net/veth.ko", "drivers/net/tun.ko")
FIELDS = ("load_seconds", "checked", "lost", "established", "established_cpu", "new", "new_cpu")


def initramfs():
    files = guest.Initramfs("versus")
    for program in (*TOOLS, *(BUILD / "bin" / program for program in PROGRAMS)):
        files.add_program(program)
    for name in PLUGINS:
        plugin = sorted(Path("/usr/lib").glob(f"*/dpdk/pmds-*/librte_{name}.so.*.*"))[0]
        files.add_library(plugin)
        files.add_libraries_of(plugin)
    files.add_modules(*MODULES)
    files.add_file(HERE / "versus_ipvs.init", "init")
    return files.pack()


def measure(counts, quick):
    """What each did with so many services; nothing if no kernel can be booted."""
    lacking = guest.missing(TOOLS)
    if lacking:
        print(f"kernel IPVS left out: {', '.join(lacking)} missing; ./tools/setup installs what is needed", file=sys.stderr)
        return []
    append = f"sluice_counts={','.join(map(str, counts))} sluice_seconds={1 if quick else 3}"
    printed, version = guest.boot(guest.command(initramfs(), append, 3072, ["-smp", "2", "-cpu", "max"]), 300 if quick else 1500)
    results = []
    for way, count, rest in re.findall(r"^result (\S+) (\d+) (.*)$", printed, flags=re.M):
        result = {"way": way, "services": int(count), "kernel": version}
        result.update(zip(FIELDS, map(float, rest.split())))
        results.append(result)
        if result["checked"] == 0 or result["lost"] > 0 or "new_cpu" not in result:
            raise RuntimeError(f"{way} with {count} services: {result}\n{printed[-3000:]}")
    if len(results) != 2 * len(counts):
        raise RuntimeError(f"the guest measured {len(results)} times:\n{printed[-3000:]}")
    return results


def table(results):
    lines = ["| services | | established, packets/s | CPU s a million | new flows/s | CPU s a million | loaded in s |",
             "|---|---|---|---|---|---|---|"]
    for result in results:
        lines.append(f"| {result['services']:,} | {result['way']} | {result['established']:,.0f} | {result['established_cpu']:.0f} | "
                     f"{result['new']:,.0f} | {result['new_cpu']:.0f} | {result['load_seconds']:.1f} |")
    return "\n".join(lines)
