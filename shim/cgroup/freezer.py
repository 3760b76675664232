"""Freezing and thawing a group: what Pause and Resume mean to the kernel.

Rules: the loop runs on while the kernel freezes; a group that does not freeze is thawed again,
whatever the reason. Source: the kernel's admin-guide/cgroup-v1/freezer-subsystem.rst and
admin-guide/cgroup-v2.rst, "cgroup.freeze".
"""

import asyncio
from pathlib import Path

from shim.cgroup.files import read, try_write, write
from shim.cgroup.group import Cgroup
from shim.cgroup.parsing import read_pairs
from shim.cgroup.settings import require
from shim.errdefs import FailedPreconditionError, InternalError

_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02
# v1 can stay in FREEZING for good while processes are forked or join: thawed for a moment, and
# frozen anew, it comes through. runc does so, too.
_ATTEMPTS_BEFORE_THAW = 20


async def freeze(cgroup: Cgroup) -> None:
    """Stop every process in the group and below it, until `thaw`; returns once all stand still.

    Raises:
        FailedPreconditionError: there is no group to freeze: the container has none of its own, or
            the node has no freezer.
        InternalError: a process does not stop within 5 s (one in an uninterruptible sleep).
        NotFoundError: the group is gone.
    """
    file = _file(cgroup)
    try:
        await _until_frozen(cgroup, file)
    except BaseException:
        try_write(file, _value(cgroup, frozen=False))
        raise


async def thaw(cgroup: Cgroup) -> None:
    """Let the processes of a frozen group run on; nothing happens to one that is not frozen.

    Raises:
        FailedPreconditionError: as for `freeze`.
        InternalError: the kernel refuses, or a group above this one is frozen as well.
        NotFoundError: the group is gone.
    """
    file = _file(cgroup)
    pause_s = _FIRST_PAUSE_S
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TIMEOUT_S
    _set(cgroup, file, frozen=False)
    while is_frozen(cgroup):
        if loop.time() > deadline:
            raise InternalError(
                f"cgroup {file.parent} is still frozen: one above it is; thaw that first"
            )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def is_frozen(cgroup: Cgroup) -> bool:
    """Whether all processes of the group stand still, by a freeze of it or of one above it."""
    if not cgroup.unified:
        file = cgroup.file("freezer.state")
        return file is not None and read(file).strip() == "FROZEN"
    file = cgroup.file("cgroup.events")
    return file is not None and read_pairs(read(file)).get("frozen") == 1


async def _until_frozen(cgroup: Cgroup, file: Path) -> None:
    pause_s = _FIRST_PAUSE_S
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TIMEOUT_S
    attempts = 0
    while True:
        # On v1 every write tries those again that have come since; on v2 the first is enough.
        _set(cgroup, file, frozen=True)
        if is_frozen(cgroup):
            return
        if loop.time() > deadline:
            raise InternalError(
                f"cgroup {file.parent} does not freeze within {_TIMEOUT_S:g} s, and is thawed"
                " again; a process in it may be in an uninterruptible sleep (state D in ps)"
            )
        attempts += 1
        if not cgroup.unified and attempts % _ATTEMPTS_BEFORE_THAW == 0:
            _set(cgroup, file, frozen=False)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _file(cgroup: Cgroup) -> Path:
    file = cgroup.file("cgroup.freeze" if cgroup.unified else "freezer.state")
    if file is None:
        require(cgroup.paths)
        raise FailedPreconditionError(
            "the container cannot be frozen: it has no cgroup of its own, or this node's cgroups"
            " have no freezer"
        )
    return file


def _value(cgroup: Cgroup, *, frozen: bool) -> str:
    if cgroup.unified:
        return "1" if frozen else "0"
    return "FROZEN" if frozen else "THAWED"


def _set(cgroup: Cgroup, file: Path, *, frozen: bool) -> None:
    value = _value(cgroup, frozen=frozen)
    try:
        write(file, value)
    except OSError as error:
        require(cgroup.paths)
        raise InternalError(f"the kernel refuses {value} in {file}: {error.strerror}") from error
