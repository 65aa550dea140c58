"""Boots Debian's own kernel in an emulated machine, for a few seconds, to ask its IPVS.

The kernel package is downloaded, not installed; the initramfs is made of busybox, ipvsadm, ip and our player.
"""

import gzip
import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build/release"))
FOLDER = BUILD / "kernel"
QEMU = "qemu-system-x86_64"
MODULES = ("net/netfilter", "net/ipv4", "net/ipv6", "net/core", "lib", "crypto", "arch/x86/crypto")
TOOLS = ("ipvsadm", "ip", "ethtool")


def missing():
    """What has to be installed first; './tools/setup' does it."""
    return [tool for tool in (QEMU, "busybox", *TOOLS, "cpio", "depmod") if not shutil.which(tool)]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout


def kernel():
    """Debian's cloud kernel, unpacked: the image, and the folder of its modules."""
    unpacked = FOLDER / "package"
    if not unpacked.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        download_kernel()
        half = FOLDER / "package.part"
        shutil.rmtree(half, ignore_errors=True)
        run("dpkg-deb", "-x", next(FOLDER.glob("linux-image-*.deb")), half)
        version = next((half / "lib/modules").iterdir()).name
        run("depmod", "-b", half, version)
        half.rename(unpacked)
    return next((unpacked / "boot").glob("vmlinuz-*")), next((unpacked / "lib/modules").iterdir())


def download_kernel():
    """The newest package of Debian's cloud kernel; the lists of packages may be missing or old."""
    for last_try in (False, True):
        try:
            depends = run("apt-cache", "depends", "linux-image-cloud-amd64")
            name = re.search(r"Depends: (linux-image-\d\S+)", depends).group(1)
            run("apt-get", "-q", "download", name, cwd=FOLDER)
            return
        except (subprocess.CalledProcessError, AttributeError):
            if last_try:
                raise
            run("apt-get", "-q", "update")


def copy_program(program, folder):
    """A program with the libraries it needs."""
    shutil.copy(program, folder / "sbin")
    for library in re.findall(r"(/\S+\.so\S*)", run("ldd", program)):
        target = folder / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)


def initramfs(scenarios):
    root = FOLDER / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "sbin", "dev", "proc", "sys", "run", "scenarios"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for applet in run("busybox", "--list").split():
        (root / "bin" / applet).symlink_to("busybox") if applet != "busybox" else None
    (root / "sbin/modprobe").symlink_to("../bin/busybox")
    for tool in TOOLS:
        copy_program(os.path.realpath(shutil.which(tool)), root)
    for program in ("play_kernel", "ask_hashes"):
        copy_program(BUILD / "bin" / program, root)
    shutil.copy(HERE / "guest/init", root / "init")
    shutil.copy(HERE / "guest/fresh_ipvs", root / "bin/fresh_ipvs")
    _, modules = kernel()
    target = root / "lib/modules" / modules.name
    for folder in MODULES:
        if (modules / "kernel" / folder).exists():
            shutil.copytree(modules / "kernel" / folder, target / "kernel" / folder)
    (target / "kernel/drivers/net").mkdir(parents=True)
    shutil.copy(modules / "kernel/drivers/net/veth.ko", target / "kernel/drivers/net")
    for file in modules.glob("modules.*"):
        shutil.copy(file, target)
    for scenario in scenarios:
        shutil.copy(scenario, root / "scenarios" / scenario.name)
    (root / "scenarios/list").write_text("\n".join(f"/scenarios/{scenario.name}" for scenario in scenarios))
    archive = subprocess.run("find . | cpio -o -H newc --quiet", shell=True, cwd=root, check=True, capture_output=True).stdout
    image = FOLDER / "initramfs.gz"
    image.write_bytes(gzip.compress(archive, 1))
    return image


def command(image, job):
    """`job`: what guest/init is to do."""
    vmlinuz, _ = kernel()
    append = f"console=ttyS0 quiet panic=-1 tsc=unstable sluice_job={job}"
    return [QEMU, "-accel", "tcg", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
            "-kernel", vmlinuz, "-initrd", image, "-append", append]


def boot(job, scenarios, seconds):
    """What the guest printed when it did the job; and the version of its kernel."""
    printed = subprocess.run([str(part) for part in command(initramfs(scenarios), job)], check=True, capture_output=True,
                             text=True, timeout=seconds, stdin=subprocess.DEVNULL, errors="replace").stdout.replace("\r", "")
    if "ended: 0" not in printed:
        raise RuntimeError(f"the guest did not come to the end:\n{printed[-3000:]}")
    begun = re.search(r"kernel (\d+\.\S+)\n", printed)
    return printed[begun.end():printed.index("ended: 0")], begun.group(1)


def play(scenarios, seconds):
    """What the kernel did in each scenario, by name; and the version of the kernel."""
    printed, version = boot("play", scenarios, seconds)
    return transcripts(printed), version


def transcripts(printed):
    parts = re.split(r"^=== \S*?([^/\s]+)$", printed, flags=re.M)
    return {name: text.strip("\n") for name, text in zip(parts[1::2], parts[2::2])}
