"""What ./tools/demo builds before a newcomer sees anything: the programs it shows, and no test or benchmark.

    demo_target_test.py BUILD     a configured folder
"""

import subprocess
import sys


def inputs(build, target):
    return subprocess.run(["ninja", "-C", build, "-t", "inputs", target], check=True, capture_output=True, text=True).stdout.split()


def of_tests(paths):
    return [path for path in paths if path.startswith(("tests/", "bench/")) or "/tests/" in path or "/bench/" in path]


def main(build):
    # A test that cannot fail is a defect: what the tests need does have tests.
    assert of_tests(inputs(build, "tests_fast")), "the target tests_fast has no test: this check sees nothing"
    paths = inputs(build, "demo")
    objects = [path for path in paths if path.endswith(".o")]
    assert objects, "the target demo compiles nothing: this check sees nothing"
    too_much = of_tests(paths)
    print("\n".join(f"the target demo builds {path}: ./tools/demo does not run it" for path in too_much)
          or f"./tools/demo compiles {len(objects)} objects, none of a test or a benchmark")
    return 1 if too_much else 0


sys.exit(main(sys.argv[1]))
