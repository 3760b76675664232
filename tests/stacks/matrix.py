"""Run tests/cri and tests/artifacts on every stack, one by one, and print a table of how they did.

`python -m tests.stacks.matrix [1.7-grpc ...]` runs all stacks, or those that are named; it ends
with a line `N passed, N failed`, and with status 1 where anything failed: a test, its fixtures, or
the whole run.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.support.containerd_config import RELEASES

ROOT = Path(__file__).parents[2]
STACKS = ("1.6-ttrpc", "1.7-ttrpc", "2.1-ttrpc", "1.7-grpc")
SUITES = ("tests/cri", "tests/artifacts")
# What no containerd has a hand in, and takes long.
LEFT_OUT = ("tests/cri/test_http_load.py", "tests/cri/test_http_languages.py")
TIMEOUT_S = 20 * 60


@dataclass(frozen=True)
class Result:
    """How the tests did on one stack."""

    containerd: str
    transport: str
    passed: int
    failed: int
    seconds: float


def counts(report: Path, status: int) -> tuple[int, int]:
    """The numbers of passed and failed tests of a JUnit report.

    Args:
        report: what pytest wrote; not there if it did not come so far, which is a failure.
        status: pytest's exit status. A failure that the report does not hold counts as one.
    """
    passed = failed = 0
    if report.exists():
        # A test that fails and then fails in its teardown too stands there twice.
        tests: dict[tuple[str, str], bool] = {}
        for case in ElementTree.parse(report).iter("testcase"):
            key = (case.get("classname", ""), case.get("name", ""))
            bad = case.find("failure") is not None or case.find("error") is not None
            tests[key] = tests.get(key, False) or bad
        failed = sum(tests.values())
        passed = len(tests) - failed
    return passed, failed or int(status != 0 or not passed)


def run(release: str, transport: str, folder: Path) -> Result:
    """Run the tests on one stack; their output is this process's."""
    report = folder / f"{release}-{transport}.xml"
    print(f"\n== containerd {release} over {transport}", flush=True)
    begun = time.monotonic()
    chosen = ["--containerd", release, "--transport", transport, f"--junitxml={report}"]
    suites = [*SUITES, *(f"--ignore={each}" for each in LEFT_OUT)]
    command = [sys.executable, "-m", "pytest", "--quiet", *suites, *chosen]
    with subprocess.Popen(command, cwd=ROOT) as tests:
        try:
            status = tests.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Not SIGKILL: what the tests have started, they have to end.
            tests.send_signal(signal.SIGINT)
            status = 1
    passed, failed = counts(report, status)
    return Result(version(release), transport, passed, failed, time.monotonic() - begun)


def version(release: str) -> str:
    """What the daemon calls itself, such as 1.7.24~ds1."""
    command = [str(RELEASES[release].containerd), "--version"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return printed.split()[2]


def table(results: Sequence[Result]) -> str:
    """The results, a line each below a heading, and their sum alone in the last line."""
    lines = [f"{'containerd':<16}{'transport':<12}{'passed':>7}{'failed':>8}{'time':>8}"]
    for result in results:
        minutes, seconds = divmod(round(result.seconds), 60)
        lines.append(
            f"{result.containerd:<16}{result.transport:<12}{result.passed:>7}{result.failed:>8}"
            f"{f'{minutes}:{seconds:02}':>8}"
        )
    passed, failed = (sum(getattr(r, name) for r in results) for name in ("passed", "failed"))
    return "\n".join([*lines, f"{passed} passed, {failed} failed"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stacks.matrix", description=__doc__)
    parser.add_argument("stack", nargs="*", help=f"of {', '.join(STACKS)}; default: all")
    chosen = parser.parse_args().stack or STACKS
    if unknown := set(chosen) - set(STACKS):
        parser.error(f"no such stack: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="tandem-matrix-") as folder:
        results = []
        for stack in chosen:
            release, transport = stack.split("-")
            results.append(run(release, transport, Path(folder)))
    print(f"\n{table(results)}")
    return int(any(result.failed for result in results))


if __name__ == "__main__":
    sys.exit(main())
