"""Mount and unmount a container's root file system as containerd describes it.

Rules: never changes the working directory. Unmounting is idempotent, lazy (a guest's last open
file cannot hold it up), and costs two system calls where nothing is mounted.
"""

import errno
import os
import re
import resource
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from shim.errdefs import FailedPreconditionError, InternalError, InvalidArgumentError
from shim.kernel import constants as c
from shim.kernel.libc import LINUX, Kernel
from shim.kernel.mount_options import parse_mount_options

_PROPAGATION_FLAGS = {"private": c.MS_PRIVATE, "slave": c.MS_SLAVE}
_OCTAL = re.compile(rb"\\([0-7]{3})")
_MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class RootfsMount:
    """One mount of a Create request; `target` is relative to the root file system."""

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()


def mount_rootfs(mounts: Sequence[RootfsMount], target: Path, kernel: Kernel = LINUX) -> None:
    """Mount `mounts` at `target` in order; where one fails, those before it are undone.

    Raises:
        InvalidArgumentError: `target` is no directory, or a mount's own target does not exist
            below it.
        InternalError: the kernel refuses a mount; the text names it.
    """
    try:
        target.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidArgumentError(
            f"rootfs {os.fspath(target)[:200]} cannot be a directory: {error.strerror}"
        ) from error
    try:
        for mount in mounts:
            with ExitStack() as opened:
                _mount(mount, _place(target, mount.target, opened, kernel), kernel)
    except BaseException:
        unmount_rootfs(target, kernel)
        raise


def forbid_devices(target: Path, kernel: Kernel = LINUX) -> None:
    """Let no device of the root file system that is mounted at `target` be opened there any more.

    Raises:
        FailedPreconditionError: nothing is mounted there.
    """
    name = os.fspath(target)
    root_fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        kernel.mount_setattr(
            root_fd, c.MOUNT_ATTR_NODEV, 0, recursive=True, private=False, name=name
        )
    except OSError as error:
        raise FailedPreconditionError(
            f"rootfs {name[:200]} is no mount of its own: {error.strerror}; a Linux program is"
            " executed in a Wasm container only where containerd mounts the image"
        ) from error
    finally:
        os.close(root_fd)


def lay_over(tree_fd: int, target: Path, scratch: Path, kernel: Kernel = LINUX) -> None:
    """Show the files of an open directory in the root file system at `target`, before its own.

    `unmount_rootfs` takes both away again.

    Args:
        tree_fd: the directory; nobody will write to it.
        target: where the root file system is.
        scratch: a directory to be made, for what is made in the root file system later: the
            mountpoints of volumes. It has to be on a file system that overlayfs can write to.
        kernel: whose mount it is.

    Raises:
        InternalError: the kernel refuses the mount.
    """
    with ExitStack() as opened:
        # By descriptors: a path may hold what overlayfs takes for a separator.
        names = [f"/proc/self/fd/{tree_fd}"]
        try:
            for path in (scratch, scratch / "upper", scratch / "work"):
                path.mkdir(mode=0o755)
            # The merged root has the upper directory's mode, whatever mask was inherited.
            (scratch / "upper").chmod(0o755)
            for path in (target, scratch / "upper", scratch / "work"):
                fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, fd)
                names.append(f"/proc/self/fd/{fd}")
            tree, rootfs, upper, work = names
            options = f"lowerdir={tree}:{rootfs},upperdir={upper},workdir={work},index=off"
            kernel.mount("overlay", os.fspath(target), "overlay", data=options)
        except OSError as error:
            raise InternalError(
                f"cannot lay the artifact's files over {target}, with {scratch} for what is"
                f" written: {error.strerror}"
            ) from error


def unmount_rootfs(target: Path, kernel: Kernel = LINUX) -> None:
    """Unmount everything at and below `target`; nothing happens where nothing is mounted.

    Raises:
        InternalError: the kernel refuses to unmount it.
    """
    _unmount_stack(os.fspath(target), kernel)
    try:
        with os.scandir(target) as entries:
            is_empty = next(entries, None) is None
    except (FileNotFoundError, NotADirectoryError):
        return
    # Detaching took along what was mounted below; only a target that was no mountpoint itself
    # can still hold mounts, and then it is not empty.
    if not is_empty:
        for path in sorted(_mountpoints_below(target), key=len, reverse=True):
            _unmount_stack(path, kernel)


def _mount(mount: RootfsMount, target: str, kernel: Kernel) -> None:
    options = parse_mount_options(mount.options)
    is_bind = options.is_bind or mount.type == "bind"
    try:
        if is_bind:
            _bind(mount.source, target, options.flags, kernel)
        else:
            with ExitStack() as opened:
                data = options.data
                if mount.type == "overlay" and len(",".join(data)) >= resource.getpagesize():
                    data = _shortened(data, opened)
                text = ",".join(data)
                if len(text) >= resource.getpagesize():
                    raise InternalError(
                        f"cannot mount {mount.type} at {target}: its options ({len(text)} bytes) "
                        "are longer than a page, which is all that the kernel reads"
                    )
                kernel.mount(mount.source, target, mount.type, options.flags, text)
        if options.propagation:
            name = options.propagation
            flags = _PROPAGATION_FLAGS.get(name.removeprefix("r"), c.MS_PRIVATE)
            kernel.mount("", target, flags=flags | (c.MS_REC if name.startswith("r") else 0))
    except OSError as error:
        name = error.filename if error.filename not in {None, target} else _missing(options.data)
        where = f"{name}: " if name else ""
        raise InternalError(
            f"cannot mount {mount.type or 'no type'} {mount.source} at {target}: "
            f"{where}{error.strerror}"
        ) from error


def _missing(options: Sequence[str]) -> str:
    """The first directory of overlay options that is not there: the kernel does not name it."""
    for option in options:
        key, _, value = option.partition("=")
        if key in {"lowerdir", "upperdir", "workdir"}:
            for name in value.split(":"):
                if not Path(name).is_dir():
                    return name
    return ""


def _bind(source: str, target: str, flags: int, kernel: Kernel) -> None:
    kernel.mount(source, target, flags=c.MS_BIND | flags & c.MS_REC)
    # A bind takes no other flag with it; they need a second call.
    if flags & ~(c.MS_BIND | c.MS_REC):
        kernel.mount("", target, flags=flags & ~c.MS_REC | c.MS_BIND | c.MS_REMOUNT)


def _shortened(options: Sequence[str], opened: ExitStack) -> tuple[str, ...]:
    """Overlay options whose lower directories are named by file descriptors, about 18 bytes each.

    The kernel reads one page of options, and an image of many layers needs more. Changing into
    the layers' common directory, the other way out, would change the whole process.
    """
    short: list[str] = []
    for option in options:
        key, _, value = option.partition("=")
        if key == "lowerdir":
            names = []
            for layer in value.split(":"):
                fd = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                opened.callback(os.close, fd)
                names.append(f"/proc/self/fd/{fd}")
            option = "lowerdir=" + ":".join(names)  # noqa: PLW2901 (the same option, shorter)
        short.append(option)
    return tuple(short)


def _place(target: Path, relative: str, opened: ExitStack, kernel: Kernel) -> str:
    """Where to mount; below the root by the kernel's word, since images hold symlinks."""
    if not relative.strip("/"):
        return os.fspath(target)
    root_fd = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.callback(os.close, root_fd)
    try:
        place_fd = kernel.open_in_root(root_fd, relative, os.O_PATH)
    except OSError as error:
        raise InvalidArgumentError(
            f"rootfs mount target {relative!r} cannot be opened in the rootfs: {error.strerror}"
        ) from error
    opened.callback(os.close, place_fd)
    return f"/proc/self/fd/{place_fd}"


def _unmount_stack(path: str, kernel: Kernel) -> None:
    while True:
        try:
            kernel.umount(path, c.MNT_DETACH | c.UMOUNT_NOFOLLOW)
        except OSError as error:
            # EINVAL: nothing (more) is mounted there.
            if error.errno in {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}:
                return
            raise InternalError(f"cannot unmount {path}: {error.strerror}") from error


def _mountpoints_below(target: Path) -> list[str]:
    prefix = os.fsencode(os.path.realpath(target)) + b"/"
    points = (line.split(b" ")[4] for line in _MOUNTINFO.read_bytes().splitlines())
    # mountinfo writes space, tab, newline and backslash as octal escapes.
    names = (_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), point) for point in points)
    return [os.fsdecode(name) for name in names if name.startswith(prefix)]
