"""What a group has used, as the message that containerd reads for its version of cgroups.

Rules: a reply is whole or an error. containerd fails the statistics of the whole node for one reply
that is empty or of another type, and passes over a NotFound. Which files become which fields is in
`stats_v1` and `stats_v2`, which are pure.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.message import Message

from shim.cgroup import stats_v1, stats_v2
from shim.cgroup.files import read
from shim.cgroup.group import Cgroup
from shim.cgroup.settings import require
from shim.errdefs import NotFoundError

# Hierarchies of v1 that an OCI runtime's containers join, and Wasm instances do not.
_BESIDE = ("blkio", "hugetlb")
_PARTITIONS = Path("/proc/partitions")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def read_stats(cgroup: Cgroup) -> Message:
    """An `io.containerd.cgroups.v1.Metrics`, or one of `.v2.`, of the group and what is below it.

    Raises:
        NotFoundError: the container has no group of its own, or it is gone.
    """
    if not cgroup.paths:
        raise NotFoundError("the container has no cgroup of its own, and so no statistics")
    metrics: Message
    if cgroup.unified:
        metrics = stats_v2.metrics(_read_all(cgroup.paths, stats_v2.FILES))
    else:
        beside = [path for name in _BESIDE if (path := cgroup.beside(name)) is not None]
        texts = _read_all((*cgroup.paths, *beside), stats_v1.FILES)
        partitions = read(_PARTITIONS) if beside else ""
        metrics = stats_v1.metrics(texts, partitions, _TICKS_PER_S)
    # Only now: a group that went away while it was read has given zeros.
    require(cgroup.paths)
    return metrics


def _read_all(directories: Iterable[Path], wanted: frozenset[str]) -> dict[str, str]:
    """The texts of the files of these names, and of all about huge pages, which name a size."""
    texts: dict[str, str] = {}
    for directory in directories:
        try:
            files = list(directory.iterdir())
        except OSError:
            continue
        for file in files:
            if file.name in wanted or file.name.startswith("hugetlb."):
                texts[file.name] = read(file)
    return texts
