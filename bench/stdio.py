"""`stdio`: 100 MiB through a container's stdout, every byte checked, against the Go shim.

The same program of busybox under both shims, and under ours a Wasm guest as well (`stdio-wasm`).
Timed from Start to the end of the stream at the reading end of the FIFO, in containerd's place.
"""

import os
import select
import time
import zlib

from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, medians, take_pairs
from bench.shims import TANDEM_SHIM, Containerd, Workload

_BLOCK = bytes(range(256)) * 256
_BLOCKS = 1600

_TIMEOUT_MS = 60_000
_SCRIPT = f"i=0; while [ $i -lt {_BLOCKS // 16} ]; do cat /blob; i=$((i+1)); done"


def run(node: Node, samples: int) -> Result:
    """Measure a Linux container."""
    with Containerd(node) as containerd:
        theirs = _busybox(containerd)
        ours = Workload(TANDEM_SHIM, theirs.rootfs, theirs.args)
        return _compare(containerd, ours, theirs, samples, "stdio")


def run_wasm(node: Node, samples: int) -> Result:
    """Measure a Wasm container."""
    with Containerd(node) as containerd:
        ours = containerd.tandem(assemble("writer"), "writer")
        return _compare(containerd, ours, _busybox(containerd), samples, "stdio-wasm")


def _busybox(containerd: Containerd) -> Workload:
    workload = containerd.busybox("sh", "-c", _SCRIPT)
    (workload.rootfs / "blob").write_bytes(_BLOCK * 16)
    return workload


def _compare(
    containerd: Containerd, ours: Workload, theirs: Workload, samples: int, name: str
) -> Result:
    pairs = take_pairs(
        samples, lambda: _seconds(containerd, ours), lambda: _seconds(containerd, theirs), name
    )
    median, reference, ratio = medians(pairs)
    return Result(
        name=name,
        samples=samples,
        median=median,
        ratio=ratio,
        unit="s",
        theirs=reference,
        against="Go shim, 100 MiB from busybox cat",
        budget=Budget(2.0, 1.0),
    )


def _seconds(containerd: Containerd, workload: Workload) -> float:
    container = containerd.prepare(workload)
    container.connect(container.start_shim())
    container.create()
    begin = time.perf_counter()
    container.start()
    assert container.bundle.stdout is not None
    size, checksum = _read(container.bundle.stdout.fileno())
    elapsed = time.perf_counter() - begin
    container.finish()
    reap()
    if (size, checksum) != (len(_BLOCK) * _BLOCKS, _expected()):
        raise RuntimeError(f"{workload.shim.name}: {size} bytes with checksum {checksum:x} arrived")
    return elapsed


def _expected() -> int:
    checksum = 0
    for _ in range(_BLOCKS):
        checksum = zlib.crc32(_BLOCK, checksum)
    return checksum


def _read(fd: int) -> tuple[int, int]:
    """The size and the checksum of everything up to the end of the stream."""
    size, checksum = 0, 0
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        happened = poll.poll(_TIMEOUT_MS)
        if not happened:
            raise TimeoutError(f"nothing more after {size} bytes")
        chunk = os.read(fd, 1 << 16) if happened[0][1] & select.POLLIN else b""
        if not chunk:
            return size, checksum
        size += len(chunk)
        checksum = zlib.crc32(chunk, checksum)
