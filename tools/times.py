"""Where the time of a test run went: the build's seconds, and every test's, the longest first.

    times.py BUILD...     build folders in which ./tools/test has run
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def tests_of(build):
    """Name, seconds and outcome of every test of the last run."""
    results = build / "results.xml"
    if not results.exists() or results.stat().st_size == 0:
        return []
    outcomes = {"run": "", "fail": "FAILED", "notrun": "skipped", "disabled": "disabled"}
    cases = ElementTree.parse(results).getroot().iter("testcase")
    found = [(case.get("name"), float(case.get("time", 0)), outcomes.get(case.get("status"), case.get("status"))) for case in cases]
    return sorted(found, key=lambda test: -test[1])


def report(build):
    tests = tests_of(build)
    seconds = build / "build_seconds"
    built = seconds.read_text(encoding="utf8").strip() if seconds.exists() else "?"
    print(f"{build.name}: built in {built} s; {len(tests)} tests of {sum(test[1] for test in tests):.0f} s together")
    for name, took, outcome in tests:
        print(f"  {took:7.1f}  {name}  {outcome}".rstrip())


for folder in sys.argv[1:]:
    report(Path(folder))
