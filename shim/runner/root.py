"""The guest's root file system: made of directories of this machine in a mount namespace of the
runner's own, so that nothing of it can outlive the runner.

Rules: what the guest writes goes to memory and is gone afterwards, unless it writes into a
directory that was handed to it; no directory of the caller's gets an entry that its guest did not
make.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from shim.errdefs import InternalError, InvalidArgumentError
from shim.kernel import constants as c
from shim.kernel.libc import LINUX, Kernel
from shim.rootfs import RootfsMount, mount_rootfs
from shim.runner.options import Directory

_NAME = "r"


def private_directory(run_dir: Path, kernel: Kernel = LINUX) -> Path:
    """Leave the caller's mount namespace for an own one, and get an empty directory in it that
    nobody else sees.

    Raises:
        InternalError: the kernel refuses.
    """
    place = run_dir / _NAME
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        kernel.unshare(c.CLONE_NEWNS)
        # Slave, as the jail has it: nothing goes out, and what the caller mounts still comes in.
        kernel.mount("", "/", flags=c.MS_REC | c.MS_SLAVE)
        flags = c.MS_NODEV | c.MS_NOSUID
        kernel.mount("tandem", os.fspath(place), "tmpfs", flags, "mode=0711")
    except OSError as error:
        where = error.filename or place
        raise InternalError(f"cannot mount at {place}: {where}: {error.strerror}") from error
    return place


def build_root(
    place: Path, layers: Sequence[str], root: Directory | None, kernel: Kernel = LINUX
) -> Path:
    """Make the root below `place`: `root` itself, or the layers, the lowest first, or nothing.

    Raises:
        InvalidArgumentError: a layer or `root` is no directory.
        InternalError: the kernel refuses to mount them.
    """
    rootfs = place / "rootfs"
    if root is not None:
        _require_directory(root.host)
        source = str(Path(root.host).resolve())
        mount_rootfs([RootfsMount("bind", source, "", ("rbind",))], rootfs, kernel)
        if root.read_only:
            _make_readonly(rootfs, kernel)
    elif layers:
        _overlay(place, layers, rootfs, kernel)
    else:
        rootfs.mkdir(mode=0o755)
    return rootfs


def require_mountpoints(rootfs: Path, paths: Sequence[str], kernel: Kernel = LINUX) -> None:
    """Refuse paths that the root, a directory of the caller's, does not have: the jail would make
    them there.

    Raises:
        InvalidArgumentError: one of them is missing.
    """
    root_fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in paths:
            try:
                os.close(kernel.open_in_root(root_fd, path, os.O_PATH))
            except OSError as error:
                raise InvalidArgumentError(
                    f"{path} is not there in the directory that is the guest's root:"
                    f" {error.strerror}; make it, or give the root another path of the guest's"
                ) from error
    finally:
        os.close(root_fd)


def _overlay(place: Path, layers: Sequence[str], rootfs: Path, kernel: Kernel) -> None:
    with ExitStack() as opened:
        lower = []
        for layer in reversed(layers):
            _require_directory(layer)
            fd = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, fd)
            # By descriptor: a name may hold what separates names here.
            lower.append(f"/proc/self/fd/{fd}")
        upper, work = place / "upper", place / "work"
        upper.mkdir(mode=0o755)
        work.mkdir(mode=0o700)
        options = (f"lowerdir={':'.join(lower)}", f"upperdir={upper}", f"workdir={work}")
        mount_rootfs([RootfsMount("overlay", "overlay", "", options)], rootfs, kernel)


def _make_readonly(rootfs: Path, kernel: Kernel) -> None:
    root_fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        name = os.fspath(rootfs)
        kernel.mount_setattr(
            root_fd, c.MOUNT_ATTR_RDONLY, 0, recursive=True, private=False, name=name
        )
    except OSError as error:
        raise InternalError(f"cannot make {rootfs} read-only: {error.strerror}") from error
    finally:
        os.close(root_fd)


def _require_directory(name: str) -> None:
    if not Path(name).is_dir():
        raise InvalidArgumentError(f"{name[:200]} is no directory of this machine")
