"""`bundle-launcher`, `bundle-start`, `bundle-density`: a bundle against what `make setup` installs.

The same code under another Python, C library and place. Each has a node of its own with a warm
daemon; what is measured is what the benchmarks without `bundle-` measure of ours.
"""

from pathlib import Path

from bench import launcher, start
from bench.containerd import PlainContainerd
from bench.density import pss_of_pods
from bench.guests import assemble
from bench.node import Node
from bench.result import Budget, Pair, Result, medians, take_pairs
from bench.shims import Containerd

_AGAINST = "the same of make setup"


def run_launcher(bundle: Path, node: Node, samples: int) -> Result:
    """Measure `start`."""
    with Node(bundle / "bin") as moved, Containerd(moved) as ours, Containerd(node) as theirs:
        hello = [each.tandem(assemble("hello"), "hello") for each in (ours, theirs)]
        pairs = take_pairs(
            samples,
            lambda: launcher.time_start(ours, hello[0]),
            lambda: launcher.time_start(theirs, hello[1]),
            "bundle-launcher",
        )
    return _result("bundle-launcher", pairs)


def run_start(bundle: Path, node: Node, samples: int) -> Result:
    """Measure `ctr run --rm`."""
    with (
        Node(bundle / "bin") as moved,
        PlainContainerd(moved) as ours,
        PlainContainerd(node) as theirs,
    ):
        hello = [start.Hello(moved, ours), start.Hello(node, theirs)]
        pairs = take_pairs(samples, hello[0].time_wasm, hello[1].time_wasm, "bundle-start")
    return _result("bundle-start", pairs)


def run_density(bundle: Path, node: Node, samples: int) -> Result:
    """Measure memory per sleeping pod."""
    found = []
    with Node(bundle / "bin") as moved:
        for each in (moved, node):
            with Containerd(each) as containerd:
                sleeper = containerd.tandem(assemble("sleeper"), "sleeper")
                found.append(pss_of_pods(containerd, sleeper, samples) / samples)
    ours, theirs = found
    return Result(
        name="bundle-density",
        samples=samples,
        median=ours,
        ratio=ours / theirs,
        unit="bytes",
        theirs=theirs,
        against=_AGAINST,
        budget=Budget(1.0, 0.9),
    )


def _result(name: str, pairs: list[Pair]) -> Result:
    ours, theirs, ratio = medians(pairs)
    return Result(
        name=name,
        samples=len(pairs),
        median=ours,
        ratio=ratio,
        unit="s",
        theirs=theirs,
        against=_AGAINST,
        budget=Budget(1.1, 1.0),
    )
