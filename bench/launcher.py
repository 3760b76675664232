"""`launcher`: wall time of `start`, from exec to the end of its output, ours against the Go shim's.

Each `start` has a fresh bundle and makes a new shim, which is ended before the next one; our node
daemon is warm.
"""

import time

from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, medians, take_pairs
from bench.shims import Containerd, Workload


def time_start(containerd: Containerd, workload: Workload) -> float:
    """The time of one `start`, in seconds."""
    container = containerd.prepare(workload)
    begin = time.perf_counter()
    address = container.start_shim()
    elapsed = time.perf_counter() - begin
    container.connect(address)
    container.shut_down()
    container.close()
    reap()
    return elapsed


def run(node: Node, samples: int) -> Result:
    """Measure."""
    with Containerd(node) as containerd:
        wasm = containerd.tandem(assemble("hello"), "hello")
        busybox = containerd.busybox("echo", "hello")

        pairs = take_pairs(
            samples,
            lambda: time_start(containerd, wasm),
            lambda: time_start(containerd, busybox),
            "launcher",
        )
    ours, theirs, ratio = medians(pairs)
    return Result(
        name="launcher",
        samples=samples,
        median=ours,
        ratio=ratio,
        unit="s",
        theirs=theirs,
        against="Go shim's start",
        budget=Budget(0.6, 0.4),
    )
