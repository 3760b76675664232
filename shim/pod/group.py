"""What the task service asks of a container's control group."""

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import Message

from shim.cgroup import Cgroup
from shim.cgroup.oom import OomWatch
from shim.cgroup.stats import read_stats


@dataclass(frozen=True, slots=True)
class ContainerGroup:
    """`shim.task.ports.Group` over the group itself."""

    cgroup: Cgroup

    def stats(self) -> Message:
        """Its figures, as the message that containerd reads on this node.

        Raises:
            NotFoundError: the group is gone.
        """
        return read_stats(self.cgroup)

    def oom_kills(self) -> int:
        """How many processes in it the kernel has killed for want of memory."""
        return self.cgroup.oom_kills()

    def watch_oom(self, on_kill: Callable[[], None]) -> Callable[[], None]:
        """Call `on_kill` whenever that number has grown; returns what ends the watch.

        Raises:
            InternalError: the kernel, or a limit of this process, forbids it.
        """
        return OomWatch(self.cgroup, on_kill).close
