"""A row of steps, done one after the other or taken back.

Rules: each step may be done again at any time, and does nothing where it is done; each knows how to
take back what it did in this operation. When one fails, it and those before it are taken back, last
first, up to one that cannot be: what it needs stays, too. SIGTERM is heeded between steps, and
while one waits; what was done then stays, for the next call to go on. `watch` hears of each step
before it begins (the tests kill from there).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from runtimeclass.installer.errors import InstallerError, RollbackError, StoppedError

_log = structlog.get_logger()


def _nothing() -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `do` says what was done, `undo` what a person should know of the way back."""

    name: str
    do: Callable[[], str]
    undo: Callable[[], list[str]] = _nothing


class Stop:
    """Whether SIGTERM came."""

    def __init__(self) -> None:
        self.requested = False

    def request(self, *_: object) -> None:
        """For signal.signal."""
        self.requested = True

    def heed(self) -> None:
        """Return if it did not.

        Raises:
            StoppedError: it did.
        """
        if self.requested:
            raise StoppedError("ended by SIGTERM: the same call goes on from here")


def _unwatched(act: str, name: str) -> None:
    del act, name


class Runner:
    """Does steps."""

    def __init__(self, stop: Stop, watch: Callable[[str, str], None] = _unwatched) -> None:
        """`watch` is told ("do" or "undo", the step's name)."""
        self._stop = stop
        self._watch = watch

    def run(self, steps: Sequence[Step], finish: Callable[[], None]) -> None:
        """Do them all, or take back what was done; `finish` ends the operation either way.

        Raises:
            StoppedError: SIGTERM came; nothing was taken back.
            RollbackError: a step failed, and then one could not be taken back.
            InstallerError: a step failed; everything was taken back.
        """
        for index, step in enumerate(steps):
            self._stop.heed()
            self._watch("do", step.name)
            try:
                _log.info("done", step=step.name, what=step.do())
            except StoppedError:
                raise
            except Exception as error:
                _log.error("failed", step=step.name, error=str(error))
                self._back(steps[: index + 1], error)
                finish()
                if isinstance(error, InstallerError):
                    raise
                raise InstallerError(f"step {step.name}: {error!r}") from error

    def _back(self, steps: Sequence[Step], cause: Exception) -> None:
        for step in reversed(steps):
            self._watch("undo", step.name)
            try:
                for remark in step.undo():
                    _log.warning("remark", step=step.name, what=remark)
            except Exception as error:  # noqa: BLE001 (told, with what it follows)
                raise RollbackError(
                    f"{cause}; and then the step {step.name} could not be taken back: {error}; what"
                    " the node was before is in /opt/tandem/install (journal.json, backup)"
                ) from cause
            _log.info("taken back", step=step.name)
