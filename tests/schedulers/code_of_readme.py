"""Writes the first block of C++ in a README to a file: code_of_readme.py README FILE."""

import re
import sys
from pathlib import Path

MOST_LINES = 40

code = re.search(r"```cpp\n(.*?)```", Path(sys.argv[1]).read_text(), re.S).group(1)
if len(code.splitlines()) > MOST_LINES:
    sys.exit(f"{sys.argv[1]} promises a scheduler in {MOST_LINES} lines, and has {len(code.splitlines())}")
Path(sys.argv[2]).write_text(code)
