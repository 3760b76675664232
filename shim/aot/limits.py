"""What loaders may use, and for how long they may wait for each other."""

from dataclasses import dataclass

# Create waits for a loader. Whoever asked gives up sooner and asks again: kubelet after 2 minutes
# (runtimeRequestTimeout).
_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """The limits of one loader.

    Attributes:
        memory_bytes: of private memory (RLIMIT_DATA).
        timeout_s: of wall time for finding the module, and as much again for compiling it.
        parallel: how many modules are compiled at once on the node.
        wait_s: of wall time for others that compile this module, or as many as may at once.
        in_background: whether everything else on the node goes first.
    """

    memory_bytes: int
    timeout_s: float
    parallel: int = 1
    wait_s: float = _WAIT_S
    in_background: bool = True

    @property
    def total_s(self) -> float:
        """When it has ended by itself."""
        return 2 * self.timeout_s + self.wait_s
