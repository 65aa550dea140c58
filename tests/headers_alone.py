#!/usr/bin/env python3
"""Compiles every header by itself: whoever includes one needs nothing else. The usual build would not notice a missing
include, for it compiles sources in batches and behind precompiled headers.

    tests/headers_alone.py [BUILD]     a configured and built folder (build/release), for what is generated there
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bench", "control", "dataplane", "schedulers", "tests", "tools")


def compiler(build):
    """The project's own flags, and every folder that any of its targets includes from."""
    commands = (build / "compile_commands.json").read_text(encoding="utf8")
    folders = sorted(set(re.findall(r"(?:-isystem |-I)(/[^ \"\\]+)", commands)))
    cache = (build / "CMakeCache.txt").read_text(encoding="utf8")
    program = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.M).group(1)
    words = [program, "-std=c++20", "-march=x86-64-v2", "-msse4.2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
             "-Wno-missing-field-initializers", "-fsyntax-only", f"-I{ROOT}"]
    for folder in folders:
        words += ["-isystem", folder] if folder != str(ROOT) else []
    dpdk = subprocess.run(["pkg-config", "--cflags", "libdpdk"], check=True, capture_output=True, text=True).stdout
    return words + [word for word in shlex.split(dpdk) if not word.startswith("-march")]


def complaint(words, header, folder):
    """The compiler's words about one header; None if it compiles."""
    # Through a source: a header given as the main file would be told that it has a `#pragma once`.
    source = Path(folder) / (re.sub(r"\W", "_", header) + ".cc")
    source.write_text(f'#include "{header}"\n', encoding="utf8")
    result = subprocess.run([*words, source], capture_output=True, text=True, timeout=300, check=False)
    return None if result.returncode == 0 else f"{header} does not compile alone:\n{result.stderr}"


def check(words, headers, folder):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [text for text in pool.map(lambda header: complaint(words, header, folder), headers) if text]


def main():
    build = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/release").resolve()
    if not (build / "compile_commands.json").exists():
        sys.exit(f"{build} is not configured: run ./tools/build first")
    words = compiler(build)
    headers = sorted(str(path.relative_to(ROOT)) for top in FOLDERS for path in (ROOT / top).rglob("*.h")
                     if not path.name.endswith(".bpf.h"))  # C for BPF, which every build compiles
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        # A test that cannot fail is a defect.
        broken = Path(folder) / "broken.h"
        broken.write_text("#pragma once\ninline std::string Name() { return {}; }\n", encoding="utf8")
        if not check([*words, f"-I{folder}"], ["broken.h"], folder):
            sys.exit("a header without its includes was not noticed")
        complaints = check(words, headers, folder)
    print("\n".join(complaints), end="")
    print(f"{len(headers)} headers, each compiled alone in {time.monotonic() - begin:.0f} s: {len(complaints)} faults")
    return 1 if complaints or not headers else 0


if __name__ == "__main__":
    sys.exit(main())
