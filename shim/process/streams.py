"""Opens the streams that containerd names in Create or Exec, whatever their form is.

The form is told by stdout: `binary://` is a logger's program, a terminal is copied, everything else
is handed over as it is.
"""

from dataclasses import dataclass

from shim.process.child_streams import ChildStreams
from shim.process.log_binary import SCHEME, LogBinary
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.process.terminal import Terminal


@dataclass(frozen=True, slots=True)
class StreamPaths:
    """What containerd names; `terminal` asks for one, `owner` is the user and group of FIFOs."""

    stdin: str
    stdout: str
    stderr: str
    terminal: bool = False
    owner: tuple[int, int] = (0, 0)


async def open_streams(
    paths: StreamPaths, container_id: str, namespace: str, reaper: Reaper
) -> tuple[ChildStreams, Terminal | None]:
    """The streams, and once more as a terminal where they are one.

    Raises:
        ShimError: why one cannot be opened; none is left open then.
    """
    outer: ChildStreams
    if paths.stdout.startswith(SCHEME):
        outer = await LogBinary.open(paths.stdin, paths.stdout, container_id, namespace, reaper)
    else:
        outer = Stdio.open(paths.stdin, paths.stdout, paths.stderr, paths.owner)
    if not paths.terminal:
        return outer, None
    terminal = Terminal(outer, has_stdin=bool(paths.stdin))
    return terminal, terminal
