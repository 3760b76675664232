"""`run`, `run-cold`: `tandem run` of a hello module, against what any Python program that embeds
wasmtime pays before it has done anything: `python -c 'import wasmtime'`.

`run` finds its module compiled; `run-cold` begins with an empty cache each time and compiles, too.
The node daemon is warm in both.
"""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.node import Node
from bench.result import Budget, Result, medians, take_pairs
from tests.support import guests

_HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); return 0; }'


def run(node: Node, samples: int) -> Result:
    """Measure with the module in the cache."""
    return _measure(node, samples, "run", Budget(0.5, 0.4), lambda: None)


def run_cold(node: Node, samples: int) -> Result:
    """Measure with an empty cache."""

    def empty() -> None:
        shutil.rmtree(node.home.cache, ignore_errors=True)

    return _measure(node, samples, "run-cold", Budget(1.3, 1.0), empty)


def _measure(
    node: Node, samples: int, name: str, budget: Budget, prepare: Callable[[], None]
) -> Result:
    module = guests.compile_c(_HELLO)
    tandem = Path(sys.executable).with_name("tandem")

    def ours() -> float:
        prepare()
        return _wall(node, [tandem, "run", module], b"hello\n")

    def theirs() -> float:
        return _wall(node, [sys.executable, "-c", "import wasmtime"], b"")

    ours_s, theirs_s, ratio = medians(take_pairs(samples, ours, theirs, name))
    return Result(
        name=name,
        samples=samples,
        median=ours_s,
        ratio=ratio,
        unit="s",
        theirs=theirs_s,
        against="python -c 'import wasmtime'",
        budget=budget,
    )


def _wall(node: Node, argv: list[str | Path], expected: bytes) -> float:
    begin = time.perf_counter()
    done = subprocess.run(argv, env=node.environment, capture_output=True, check=True)
    elapsed = time.perf_counter() - begin
    if done.stdout != expected:
        raise RuntimeError(f"{argv} wrote {done.stdout!r}")
    return elapsed
