"""`start`: wall time of `ctr run --rm`, hello as Wasm against `busybox echo` under runc.

The cache is warm. ctr and containerd take their part on both sides; docs/performance.md says how
much. ctr may end before it has copied the output of a container that ended at once, so that the
output is looked at once, in a round that does not count, and the exit status always.
"""

from itertools import count

from bench.containerd import PlainContainerd
from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, medians, take_pairs
from tests.support import images

_IMAGE = "localhost/hello:1"
_HELLO = b"hello\n"


class Hello:
    """The two images in a containerd, and how long a run of each takes, in seconds."""

    def __init__(self, node: Node, containerd: PlainContainerd) -> None:
        self._containerd = containerd
        self._numbers = count()
        folder = node.directory
        containerd.import_image(images.wasm_image(folder / "1.tar", _IMAGE, assemble("hello")))
        containerd.import_image(images.busybox_image(folder / "2.tar"))

    def time_wasm(self) -> float:
        """Under our shim."""
        return self._time("io.containerd.tandem.v1", _IMAGE)

    def time_linux(self) -> float:
        """Under runc's shim."""
        return self._time("io.containerd.runc.v2", images.BUSYBOX, "echo", "hello")

    def _time(self, runtime: str, image: str, *args: str) -> float:
        number = next(self._numbers)
        elapsed, output = self._containerd.run(runtime, image, f"c{number}", *args)
        if not number and output != _HELLO:
            raise RuntimeError(f"{runtime} wrote {output!r}")
        reap()
        return elapsed


def run(node: Node, samples: int) -> Result:
    """Measure."""
    with PlainContainerd(node) as containerd:
        hello = Hello(node, containerd)
        pairs = take_pairs(samples, hello.time_wasm, hello.time_linux, "start")
    ours, theirs, ratio = medians(pairs)
    return Result(
        name="start",
        samples=samples,
        median=ours,
        ratio=ratio,
        unit="s",
        theirs=theirs,
        against="ctr run --rm, runc, busybox echo",
        budget=Budget(0.6, 0.5),
    )
