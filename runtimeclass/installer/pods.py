"""Whose pods run here.

Rules: two witnesses, since either may be silent: CRI's list, and the sockets of the pod shims in
the run directory, which also know of pods that are not Kubernetes'.
"""

import socket
from dataclasses import dataclass

from runtimeclass.installer.cri import Cri
from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host
from runtimeclass.installer.unit import RUN

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Pods:
    """Those of CRI by name, and how many shims answer."""

    names: tuple[str, ...]
    shims: int

    def __bool__(self) -> bool:
        return bool(self.names) or self.shims > 0

    def __str__(self) -> str:
        if not self.names:
            return f"{self.shims} shims of pods that are not Kubernetes'"
        more = len(self.names) - _NAMED
        return ", ".join(self.names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def find_pods(host: Host, cri: Cri) -> Pods:
    """The pods of Tandem's that run; a containerd that does not answer has none by name."""
    try:
        sandboxes = cri.sandboxes()
    except NodeError:
        sandboxes = []
    names = tuple(sorted(f"{each.namespace}/{each.name}" for each in sandboxes))
    return Pods(names, _shims(host))


def _shims(host: Host) -> int:
    directory = host.path(f"{RUN}/s")
    if not directory.is_dir():
        return 0
    return sum(_answers(str(path)) for path in directory.iterdir() if path.is_socket())


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            return probe.connect_ex(path) == 0
        except OSError:
            # A name that is too long for an address: it counts, rather than be overlooked.
            return True
