"""Directories that nobody but us can write to.

Rules: whoever can write where artefacts lie can run code as us, so every directory on the way is
checked, and none is used that somebody else could change.
"""

import contextlib
import os
import stat
from pathlib import Path

from shim.errdefs import InternalError, PermissionDeniedError


def open_private(directory: Path, what: str = "cache directory") -> Path:
    """Make a directory with mode 0700, or check the one that is there.

    Args:
        directory: its path.
        what: how errors call it.

    Returns:
        Its path without symbolic links.

    Raises:
        PermissionDeniedError: it, or a directory above it, belongs to or can be changed by others.
        InternalError: it cannot be made.
    """
    try:
        directory = directory.resolve()
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
        _check(directory, sticky_will_do=False, what=what)
        for parent in directory.parents:
            _check(parent, sticky_will_do=True, what=what)
        directory.chmod(0o700)
    except OSError as error:
        raise InternalError(f"{what} {directory}: {error.strerror}") from error
    return directory


def open_below(directory: Path, name: str) -> Path:
    """As `open_private`, for a directory in one that was opened so.

    Raises:
        PermissionDeniedError: it belongs to or can be changed by others.
        InternalError: it cannot be made.
    """
    path = directory / name
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        _check(path, sticky_will_do=False)
    except OSError as error:
        raise InternalError(f"cache directory {path}: {error.strerror}") from error
    return path


def _check(directory: Path, *, sticky_will_do: bool, what: str = "cache directory") -> None:
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise PermissionDeniedError(f"{what} {directory} is not a directory")
    if status.st_uid not in {0, os.geteuid()}:
        raise PermissionDeniedError(
            f"{what} {directory} belongs to user {status.st_uid}; make it root's"
        )
    # in a sticky directory (/tmp) nobody can rename what is ours
    if status.st_mode & 0o022 and not (sticky_will_do and status.st_mode & stat.S_ISVTX):
        raise PermissionDeniedError(
            f"{what} {directory} can be changed by others"
            f" (mode {stat.S_IMODE(status.st_mode):04o}); chmod go-w it"
        )
