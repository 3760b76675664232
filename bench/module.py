"""`module`: Create and Start until the guest's first instruction, real CPython against hello.

Both modules, CPython (26 MB) and hello, get one more function, which writes one byte (see
`bench.first_byte`), and are started there. Timed from the Create request to that byte at the
reading end of stdout, in containerd's place, with shims that are up and a warm cache. Both sides
are ours: the ratio is what a module's size costs a start.
"""

import time

from bench.first_byte import BYTE, EXPORT, add_first_byte
from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, medians, take_pairs
from bench.shims import Containerd, Workload
from tests.support import guests


def run(node: Node, samples: int) -> Result:
    """Measure."""
    python = guests.cpython_wasm().read_bytes()
    with Containerd(node) as containerd:
        large = containerd.tandem(add_first_byte(python), "python", EXPORT)
        small = containerd.tandem(add_first_byte(assemble("hello")), "hello", EXPORT)

        def first_instruction(workload: Workload) -> float:
            container = containerd.prepare(workload)
            stdout = container.bundle.stdout
            assert stdout is not None
            container.connect(container.start_shim())
            begin = time.perf_counter()
            container.create()
            container.start()
            stdout.read_until(BYTE)
            elapsed = time.perf_counter() - begin
            container.finish()
            reap()
            return elapsed

        pairs = take_pairs(
            samples, lambda: first_instruction(large), lambda: first_instruction(small), "module"
        )
    ours, theirs, ratio = medians(pairs)
    return Result(
        name="module",
        samples=samples,
        median=ours,
        ratio=ratio,
        unit="s",
        theirs=theirs,
        against="hello, under our shim too",
        budget=Budget(1.5, 1.2),
    )
