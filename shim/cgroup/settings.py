"""One limit into one file of a group, with an error that says what was refused, where and why.

Rules: nothing is read unless a write has failed.
"""

import errno
from collections.abc import Sequence
from pathlib import Path

from shim.cgroup.files import read, write
from shim.cgroup.limits import WITHOUT_SWAP, Setting
from shim.errdefs import FailedPreconditionError, InvalidArgumentError, NotFoundError

_USAGE = {
    "memory.limit_in_bytes": "memory.usage_in_bytes",
    "memory.memsw.limit_in_bytes": "memory.memsw.usage_in_bytes",
}


def find_file(paths: Sequence[Path], name: str) -> Path | None:
    """The file of that name in whichever of a group's directories has it."""
    files = (path / name for path in paths)
    return next((file for file in files if file.exists()), None)


def write_setting(paths: Sequence[Path], setting: Setting) -> None:
    """Set one limit of the group with these directories.

    Raises:
        FailedPreconditionError: more memory is in use than the limit allows.
        InvalidArgumentError: the kernel has no such limit, or refuses the value.
        NotFoundError: the group is gone.
    """
    name, value = setting
    file = find_file(paths, name)
    if file is None:
        if setting in WITHOUT_SWAP:
            return
        require(paths)
        raise InvalidArgumentError(f"cannot set {name} to {value}: {_why_missing(paths, name)}")
    try:
        write(file, value)
    except OSError as error:
        if error.errno == errno.EBUSY and name in _USAGE:
            used = read(file.parent / _USAGE[name]).strip()
            raise FailedPreconditionError(
                f"cannot set {file} to {value}: {used} bytes are in use that the kernel cannot"
                " reclaim; ask for more, or have the container free memory first"
            ) from error
        require(paths)
        raise InvalidArgumentError(
            f"the kernel refuses {value} in {file}: {error.strerror}{_hint(file)}"
        ) from error


def require(paths: Sequence[Path]) -> None:
    """Raise where a directory of a group that was made is there no more.

    Raises:
        NotFoundError: the group is gone.
    """
    gone = next((path for path in paths if not path.is_dir()), None)
    if gone is not None:
        raise NotFoundError(f"cgroup {gone} is gone: the container has been removed")


def holds_processes(path: Path) -> bool:
    """Whether a group of v2 other than the root, which alone may share, has processes itself."""
    return (path / "cgroup.type").exists() and bool(read(path / "cgroup.procs").strip())


def _hint(file: Path) -> str:
    if file.name != "memory.limit_in_bytes":
        return ""
    both = read(file.with_name("memory.memsw.limit_in_bytes")).strip()
    return both and f" (memory plus swap, memory.swap, now has the limit {both})"


def _why_missing(paths: Sequence[Path], name: str) -> str:
    controller = name.partition(".")[0]
    for above in {parent for path in paths for parent in path.parents}:
        # Only v2 has the file.
        offered = read(above / "cgroup.controllers").split()
        if controller in offered and holds_processes(above):
            return (
                f"the kernel offers {controller} to nothing below {above} while that"
                " itself holds processes; move them into a group of their own"
            )
    return "this node's cgroups have no such file"
