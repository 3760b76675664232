"""Which cgroups a process is in, and how to get there.

Rules: no policy. The text of a process's membership is `/proc/PID/cgroup`: a line per hierarchy,
`ID:CONTROLLERS:PATH` (cgroups(7)).
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = "/sys/fs/cgroup"


@functools.cache
def home() -> str:
    """The membership of this process when it, or the one that it was forked from, asked first."""
    return Path("/proc/self/cgroup").read_text()


def procs_files(theirs: str, own: str, root: str = _ROOT) -> Iterator[str]:
    """The `cgroup.procs` files that lead a process from its own groups to those of another one.

    Args:
        theirs: membership of the other one.
        own: membership of this one; what is equal is left out.
        root: where the hierarchies are mounted.
    """
    if theirs == own:
        return
    for line in set(theirs.splitlines()) - set(own.splitlines()):
        _, controllers, path = line.split(":", 2)
        hierarchy = controllers.removeprefix("name=")
        if not controllers and os.path.isdir(f"{root}/unified"):  # noqa: PTH112 (the start path)
            hierarchy = "unified"
        yield os.path.normpath(f"{root}/{hierarchy}/{path}/cgroup.procs")


def go_home(root: str = _ROOT) -> None:
    """Move this process back to where it was at first, or, where a group is gone since, as near to
    it as there is one that takes processes.

    Raises:
        OSError: the kernel lets it join none of a hierarchy's groups.
    """
    for file in procs_files(home(), Path("/proc/self/cgroup").read_text(), root):
        _join_or_above(Path(file).parent, Path(root))


def _join_or_above(group: Path, root: Path) -> None:
    while True:
        try:
            fd = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"0")
            finally:
                os.close(fd)
        except OSError:
            # groups of v2 with groups below take no process; its root does
            if group == root:
                raise
            group = group.parent
        else:
            return
