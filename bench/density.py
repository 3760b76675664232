"""`density`: memory per pod of everything that is ours, while pods sleep.

PSS (smaps_rollup: shared pages are divided among those who share them) of the node daemon, its
spare children, the pod shims and the instances, over the number of pods. Theirs: the Go shims and
their sleeping busyboxes; as many pods as ours. `samples` is the number of pods.
"""

import time
from collections.abc import Iterable
from pathlib import Path

from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, progress
from bench.shims import Container, Containerd, Workload

# Long enough for what a start leaves to do: exits of launchers, spares forked anew.
_SETTLE_S = 1.0


def run(node: Node, samples: int) -> Result:
    """Measure."""
    with Containerd(node) as containerd:
        ours = pss_of_pods(containerd, containerd.tandem(assemble("sleeper"), "sleeper"), samples)
        theirs = pss_of_pods(containerd, containerd.busybox("sleep", "3600"), samples)
    return Result(
        name="density",
        samples=samples,
        median=ours / samples,
        ratio=ours / theirs,
        unit="bytes",
        theirs=theirs / samples,
        against="Go shim and busybox sleep",
        budget=Budget(8e6, 5e6),
        judged="median",
    )


def pss_of_pods(containerd: Containerd, workload: Workload, pods: int) -> int:
    """Bytes of all pods together."""
    running: list[Container] = []
    pids: set[int] = set()
    is_ours = "tandem" in workload.shim.name
    try:
        for number in range(pods):
            container = containerd.prepare(workload)
            container.connect(container.start_shim())
            running.append(container)
            pids.add(container.create())
            container.start()
            pids.add(container.shim_pid())
            progress(f"density: {workload.shim.name}, pod {number + 1} of {pods}")
        time.sleep(_SETTLE_S)
        return _pss(pids | containerd.node.daemon_tree() if is_ours else pids)
    finally:
        progress("")
        for container in running:
            container.kill()
            container.delete()
            container.shut_down()
            container.delete_leftovers()
            container.close()
        reap()


def _pss(pids: Iterable[int]) -> int:
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "Pss":
                total += int(value.split()[0]) << 10
    return total
