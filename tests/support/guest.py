"""Boots Debian's own kernel in an emulated machine (qemu, no KVM needed), with an initramfs made of busybox, tools of
this machine and programs of ours.

The kernel package is downloaded, not installed. Any number of guests may be started at the same time: only the kernel
is shared, and whoever comes first fetches it.
"""

import atexit
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build/release"))
FOLDER = BUILD / "guest"
QEMU = "qemu-system-x86_64"


def missing(tools):
    """What has to be installed first; './tools/setup' does it."""
    return [tool for tool in (QEMU, "busybox", "cpio", "depmod", *tools) if not shutil.which(tool)]


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout


def kernel():
    """Debian's cloud kernel, unpacked: the image, and the folder of its modules."""
    unpacked = FOLDER / "package"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            unpack_kernel(unpacked)
    return next((unpacked / "boot").glob("vmlinuz-*")), next((unpacked / "lib/modules").iterdir())


def unpack_kernel(target):
    download_kernel()
    half = FOLDER / "package.part"
    shutil.rmtree(half, ignore_errors=True)
    run("dpkg-deb", "-x", next(FOLDER.glob("linux-image-*.deb")), half)
    version = next((half / "lib/modules").iterdir()).name
    run("depmod", "-b", half, version)
    half.rename(target)


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


class Initramfs:
    """A root file system: busybox, and what is added to it. The files live in a folder of its own until this program ends."""

    def __init__(self, name):
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=FOLDER))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.root = self.folder / "root"
        for folder in ("bin", "sbin", "dev", "proc", "sys", "run", "tmp"):
            (self.root / folder).mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), self.root / "bin/busybox")
        for applet in run("busybox", "--list").split():
            (self.root / "bin" / applet).symlink_to("busybox") if applet != "busybox" else None
        (self.root / "sbin/modprobe").symlink_to("../bin/busybox")

    def add_program(self, program):
        """With the libraries it needs; a bare name is looked up on this machine."""
        program = Path(program) if "/" in str(program) else Path(os.path.realpath(shutil.which(program)))
        shutil.copy(program, self.root / "sbin")
        self.add_libraries_of(program)

    def add_libraries_of(self, binary):
        for library in re.findall(r"(/\S+\.so\S*)", run("ldd", binary)):
            self.add_library(library)

    def add_library(self, library):
        """One file under all its names: a second copy would be loaded as another library."""
        real = os.path.realpath(library)
        self.add_file(real, real)
        name = self.root / str(library).lstrip("/")
        if str(library) != real and not name.is_symlink():
            name.parent.mkdir(parents=True, exist_ok=True)
            name.symlink_to(real)

    def add_file(self, source, target):
        target = self.root / str(target).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    def add_text(self, text, target):
        target = self.root / target
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def add_modules(self, *parts):
        """Folders or files below the kernel's modules."""
        _, modules = kernel()
        target = self.root / "lib/modules" / modules.name
        for part in parts:
            source = modules / "kernel" / part
            if source.is_dir():
                shutil.copytree(source, target / "kernel" / part, dirs_exist_ok=True)
            elif source.exists():
                self.add_file(source, Path("lib/modules") / modules.name / "kernel" / part)
        for file in modules.glob("modules.*"):
            shutil.copy(file, target)

    def pack(self):
        """Not compressed: that costs more time than it saves, here and in the guest."""
        image = self.folder / "image"
        with image.open("wb") as file:
            subprocess.run("find . | cpio -o -H newc --quiet", shell=True, cwd=self.root, check=True, stdout=file)
        shutil.rmtree(self.root)
        return image


def command(image, append="", memory=512, machine=()):
    """What boots it, with a serial console on standard input and output. `append`: for the kernel's command line.

    The processor is a plain one: what newer ones have more (protection against each other's programs, wide registers,
    five levels of page tables) only makes the emulation slower. It can tell random numbers, or else whoever asks for
    one first would wait for the kernel to gather them.
    """
    vmlinuz, _ = kernel()
    return [str(part) for part in
            (QEMU, "-accel", "tcg", "-cpu", "Nehalem,+rdrand", "-m", memory, "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
             "-kernel", vmlinuz, "-initrd", image, "-append",
             f"console=ttyS0 quiet panic=-1 tsc=unstable mitigations=off {append}", *machine)]


def boot(command_line, seconds):
    """What the guest printed when it did its job; and the version of its kernel."""
    try:
        printed = subprocess.run(command_line, check=True, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
                                 errors="replace").stdout
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"the guest took longer than {seconds} s:\n{(late.stdout or b'')[-3000:].decode(errors='replace')}") from None
    return result(printed.replace("\r", ""))


def result(printed):
    if "ended: 0" not in printed:
        raise RuntimeError(f"the guest did not come to the end:\n{printed[-3000:]}")
    begun = re.search(r"kernel (\d+\.\S+)\n", printed)
    return printed[begun.end():printed.index("ended: 0")], begun.group(1)
