"""`tasks` and `tasks-2`: whole life cycles per second, one at a time and two at a time.

One life cycle: exec `start`, dial, Create, Wait and Start, the output read to its end, the answer
of Wait, Delete, Shutdown, exec `delete`; hello as a Wasm module under our shim, `busybox echo`
under the Go shim.
A sample is one batch of life cycles of each. The benchmark's own work is in both.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, medians, take_pairs
from bench.shims import Container, Containerd, Workload

_BATCH = 4
_HELLO = b"hello\n"


def run(node: Node, samples: int) -> Result:
    """One at a time."""
    return _run(node, samples, 1, "tasks")


def run_two(node: Node, samples: int) -> Result:
    """Two at a time."""
    return _run(node, samples, 2, "tasks-2")


def life_cycle(container: Container) -> None:
    """Take a prepared container through its life.

    Raises:
        RuntimeError: it did not do its work.
    """
    container.connect(container.start_shim())
    container.create()
    status, output = container.run_to_end()
    container.delete()
    container.shut_down()
    container.delete_leftovers()
    if (status, output) != (0, _HELLO):
        raise RuntimeError(f"a container ended with {status} and wrote {output!r}")


def _run(node: Node, samples: int, lanes: int, name: str) -> Result:
    with Containerd(node) as containerd, ThreadPoolExecutor(lanes) as pool:
        wasm = containerd.tandem(assemble("hello"), "hello")
        busybox = containerd.busybox("echo", "hello")

        def rate(workload: Workload) -> float:
            """Life cycles per second of a batch."""
            containers = [containerd.prepare(workload) for _ in range(_BATCH)]
            begin = time.perf_counter()
            list(pool.map(life_cycle, containers))
            elapsed = time.perf_counter() - begin
            for container in containers:
                container.close()
            reap()
            return _BATCH / elapsed

        pairs = take_pairs(samples, lambda: rate(wasm), lambda: rate(busybox), name)
    ours, theirs, ratio = medians(pairs)
    at_a_time = "one at a time" if lanes == 1 else f"{lanes} at a time"
    return Result(
        name=name,
        samples=samples,
        median=ours,
        ratio=ratio,
        unit="tasks/s",
        theirs=theirs,
        against=f"Go shim, runc, busybox echo; {at_a_time}",
        budget=Budget(4.0, 6.0, more_is_better=True),
    )
