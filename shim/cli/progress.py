"""Progress bars on a terminal, and nothing anywhere else."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from shim.images.transfer import Advance, Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


@contextlib.contextmanager
def progress_bars() -> Iterator[Progress]:
    """Who shows progress on stderr, if somebody sees it."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Bars(*columns, TransferSpeedColumn(), console=console, transient=True) as bars:
        yield _Shown(bars)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """A bar for what nobody knows the length of; it moves whenever the function is called.

    No thread moves it: whoever waits here forks.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Bars(*columns, console=console, transient=True, auto_refresh=False) as bars:
        bars.add_task(what, total=None)
        yield bars.refresh


class _Shown:
    def __init__(self, bars: "Bars") -> None:
        self._bars = bars

    def begin(self, name: str, total: int) -> Advance:
        """A bar of its own."""
        bars = self._bars
        task = bars.add_task(name.removeprefix("sha256:")[:12], total=total)
        return lambda done: bars.advance(task, done)
