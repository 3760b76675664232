"""A directory of configuration values, as a kubelet mounts ConfigMaps and Secrets: a file per key.

Rules: read anew each time, so that what the kubelet exchanges is seen. It exchanges all files at
once, by the link `..data`, and removes the old ones then; whoever reads below that link never mixes
two generations. Directories in it are no keys.
"""

import os
import stat
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_GENERATION = "..data"
# The API server takes no larger ConfigMap or Secret, so neither file nor directory is larger.
MAX_BYTES = 1 << 20
_MAX_KEYS = 4096
_ATTEMPTS = 10
_READ = os.O_RDONLY | os.O_CLOEXEC


class DirectoryError(Exception):
    """A directory, or one of its files, cannot be read as configuration."""


def read_value(directory: str, key: str) -> str | None:
    """The value of a key; None where the directory has no such file.

    Raises:
        DirectoryError: why it cannot be read.
    """
    if not _is_key(key):
        return None
    return _of_one_generation(directory, lambda fd: _read_file(directory, fd, key))


def read_values(directory: str) -> dict[str, str]:
    """All keys with their values.

    Raises:
        DirectoryError: why they cannot be read, or that they are too many.
    """
    return _of_one_generation(directory, lambda fd: _read_all(directory, fd))


def _is_key(name: str) -> bool:
    return name not in {"", "."} and not name.startswith("..") and not {"/", "\0"} & set(name)


def _of_one_generation(directory: str, read: Callable[[int], _T]) -> _T:
    """What `read` makes of a generation that was not exchanged meanwhile."""
    try:
        for _ in range(_ATTEMPTS):
            fd = _open_generation(directory)
            try:
                found = read(fd)
                if _is_current(directory, fd):
                    return found
            finally:
                os.close(fd)
    except OSError as error:
        raise DirectoryError(f"configuration directory {directory}: {error.strerror}") from error
    raise DirectoryError(f"configuration directory {directory} changes all the time")


def _open_generation(directory: str) -> int:
    try:
        return os.open(f"{directory}/{_GENERATION}", _READ | os.O_DIRECTORY)
    except FileNotFoundError:
        return os.open(directory, _READ | os.O_DIRECTORY)


def _is_current(directory: str, fd: int) -> bool:
    now = _open_generation(directory)
    try:
        return os.path.sameopenfile(now, fd)
    finally:
        os.close(now)


def _read_all(directory: str, fd: int) -> dict[str, str]:
    keys = sorted(name for name in os.listdir(fd) if _is_key(name))
    if len(keys) > _MAX_KEYS:
        raise DirectoryError(f"configuration directory {directory} holds {len(keys)} files")
    values: dict[str, str] = {}
    total = 0
    for key in keys:
        value = _read_file(directory, fd, key)
        if value is not None:
            values[key] = value
            total += len(value)
        if total > MAX_BYTES:
            raise DirectoryError(f"configuration directory {directory} holds more than 1 MiB")
    return values


def _read_file(directory: str, fd: int, key: str) -> str | None:
    where = f"configuration file {directory}/{key}"
    try:
        # A FIFO would wait for its writer.
        file = os.open(key, _READ | os.O_NONBLOCK, dir_fd=fd)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeEncodeError) as error:
        raise DirectoryError(f"{where}: {getattr(error, 'strerror', error)}") from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        with open(file, "rb", closefd=False) as opened:
            data = opened.read(MAX_BYTES + 1)
    finally:
        os.close(file)
    if len(data) > MAX_BYTES:
        raise DirectoryError(f"{where} is larger than 1 MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DirectoryError(f"{where} is not UTF-8") from error
