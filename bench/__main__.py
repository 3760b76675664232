"""`python -m bench [NAME] [--json FILE] [--samples N] [--bundle DIR]`: compare with runc's shim.

Without a name all benchmarks run. Timings are printed, never asserted: the exit status says only
whether the measurements could be made.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import (
    artifact,
    bundle,
    density,
    http,
    http_guests,
    launcher,
    module,
    run,
    start,
    stdio,
    tasks,
)
from bench.node import Node, isolate
from bench.result import Result, print_table
from tests.support import guests


@dataclass(frozen=True)
class _Benchmark:
    run: Callable[[Node, int], Result]
    samples: int


_BENCHMARKS = {
    "start": _Benchmark(start.run, 20),
    "artifact": _Benchmark(artifact.run, 20),
    "tasks": _Benchmark(tasks.run, 10),
    "tasks-2": _Benchmark(tasks.run_two, 10),
    "density": _Benchmark(density.run, 50),
    "launcher": _Benchmark(launcher.run, 40),
    "module": _Benchmark(module.run, 20),
    "run": _Benchmark(run.run, 20),
    "run-cold": _Benchmark(run.run_cold, 20),
    "http": _Benchmark(http.run, 10),
    "stdio": _Benchmark(stdio.run, 10),
    "stdio-wasm": _Benchmark(stdio.run_wasm, 10),
}


# What takes the bundle first.
_OF_A_BUNDLE = {
    "bundle-launcher": (bundle.run_launcher, 40),
    "bundle-start": (bundle.run_start, 20),
    "bundle-density": (bundle.run_density, 20),
}


def main() -> int:
    """Run what the arguments name and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    choices = [*_BENCHMARKS, *_OF_A_BUNDLE]
    parser.add_argument("name", nargs="?", choices=choices, help="one benchmark; default: all")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="compare this bundle with ours")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file")
    parser.add_argument("--samples", type=_count, metavar="N", help="pairs, or pods, to measure")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.stderr.write("the benchmarks mount and make control groups: run them as root\n")
        return 2
    benchmarks = dict(_BENCHMARKS)
    if arguments.bundle is not None:
        for name, (run_it, samples) in _OF_A_BUNDLE.items():
            benchmarks[name] = _Benchmark(partial(run_it, arguments.bundle.resolve()), samples)
    if arguments.name and arguments.name not in benchmarks:
        parser.error(f"{arguments.name} needs --bundle DIR: make bundle makes one")
    names = [arguments.name] if arguments.name else list(benchmarks)
    if "module" in names:
        # Downloaded once; not later, since a private /run may hide the node's name resolution.
        guests.cpython_wasm()
    if "http" in names:
        http_guests.javascript()
        http_guests.python()
        http_guests.wasmtime_command()
    isolate()
    results = [_run(benchmarks[name], arguments.samples) for name in names]
    print_table(results)
    if arguments.json is not None:
        _write(arguments.json, results)
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one")
    return number


def _run(benchmark: _Benchmark, samples: int | None) -> Result:
    with Node() as node:
        return benchmark.run(node, samples or benchmark.samples)


def _write(target: Path, results: Sequence[Result]) -> None:
    """One object for one benchmark, a list for all."""
    documents = [result.document() for result in results]
    content = documents[0] if len(documents) == 1 else documents
    target.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
