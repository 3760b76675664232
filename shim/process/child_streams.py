"""What the stdio of a process that is about to be made can do, in whatever form it comes."""

from collections.abc import Sequence
from typing import Protocol


class ChildFds(Protocol):
    """What a process is going to have as its stdio."""

    @property
    def child_fds(self) -> Sequence[int]:
        """The descriptors for 0, 1 and 2 of the process."""
        ...

    def close_child_fds(self) -> None:
        """The process has its copies."""
        ...


class ChildStreams(ChildFds, Protocol):
    """Streams whose other ends a process is going to have."""

    def close_stdin(self) -> None:
        """Let the process see the end of its stdin."""
        ...

    def resize(self, width: int, height: int) -> None:
        """Change the size of its terminal, in characters; nothing happens where it has none."""
        ...

    async def drained(self) -> None:
        """The process ended: wait, for a while, until its outputs are read by whoever reads."""
        ...

    async def finish(self) -> None:
        """The process ended: let go of each output once nothing of it can be lost."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
