"""The jail's file tree: mountpoints, volumes and the working directory.

Rules: a path of the spec is resolved inside the root file system by the kernel (openat2(2) with
RESOLVE_IN_ROOT) each time it is used, so that no symlink of the image, not even one that changes
meanwhile, leads out; what is missing is made relative to a directory that was opened that way, and
mounts are attached to an opened mountpoint, never to a path.
"""

import errno
import os
import posixpath
import stat
from contextlib import ExitStack
from pathlib import Path

from shim.jail.volumes import Volume
from shim.kernel import constants as c
from shim.kernel.libc import Kernel

_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
_MAX_LINKS = 40


def open_root(kernel: Kernel, rootfs: Path) -> int:
    """Bind the root file system onto itself, nodev and nosuid, and open it."""
    name = os.fspath(rootfs)
    root_fd = kernel.open_tree(name, c.OPEN_TREE_CLONE | c.AT_RECURSIVE)
    flags = c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOSUID
    kernel.mount_setattr(root_fd, flags, 0, recursive=True, private=True, name=name)
    target_fd = os.open(name, os.O_PATH | os.O_CLOEXEC)
    try:
        kernel.move_mount(root_fd, target_fd, name)
    finally:
        os.close(target_fd)
    return root_fd


def attach_volume(kernel: Kernel, root_fd: int, volume: Volume) -> None:
    """Mount one volume at its destination, which is made where it is missing."""
    with ExitStack() as opened:
        mount_fd = _detached(kernel, volume)
        opened.callback(os.close, mount_fd)
        is_directory = stat.S_ISDIR(os.fstat(mount_fd).st_mode)
        target_fd = open_or_make(kernel, root_fd, volume.destination, directory=is_directory)
        opened.callback(os.close, target_fd)
        kernel.move_mount(mount_fd, target_fd, volume.destination)


def open_or_make(kernel: Kernel, root_fd: int, path: str, *, directory: bool) -> int:
    """Open `path` in the root, making what is missing; the last part is a file unless `directory`.

    Returns:
        A file descriptor that only names the object (O_PATH).

    Raises:
        OSError: it cannot be made; the error names the whole path.
    """
    try:
        try:
            return kernel.open_in_root(root_fd, path, os.O_PATH)
        except FileNotFoundError:
            return _make(kernel, root_fd, path, directory=directory)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _make(kernel: Kernel, root_fd: int, path: str, *, directory: bool) -> int:
    done, links = "/", 0
    pending = path.strip("/").split("/")
    while pending:
        part = pending.pop(0)
        target = _make_part(kernel, root_fd, done, part, directory=directory or bool(pending))
        if target is None:
            done = posixpath.join(done, part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        done = "/" if target.startswith("/") else done
        pending = [name for name in target.split("/") if name] + pending
    return kernel.open_in_root(root_fd, done, os.O_PATH)


def _make_part(
    kernel: Kernel, root_fd: int, parent: str, part: str, *, directory: bool
) -> str | None:
    """Make one missing part of a path; the target, if it is there as a symlink to nothing."""
    try:
        os.close(kernel.open_in_root(root_fd, posixpath.join(parent, part), os.O_PATH))
    except FileNotFoundError:
        parent_fd = kernel.open_in_root(root_fd, parent, os.O_PATH | os.O_DIRECTORY)
    else:
        return None
    try:
        if directory:
            os.mkdir(part, _DIRECTORY_MODE, dir_fd=parent_fd)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(part, flags, _FILE_MODE, dir_fd=parent_fd))
    except FileExistsError:
        return os.readlink(part, dir_fd=parent_fd)
    finally:
        os.close(parent_fd)
    return None


def _detached(kernel: Kernel, volume: Volume) -> int:
    if not volume.source:
        return kernel.new_tmpfs(volume.tmpfs_options, volume.attributes, volume.destination)
    flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if volume.recursive else 0)
    mount_fd = kernel.open_tree(volume.source, flags)
    try:
        kernel.mount_setattr(
            mount_fd,
            volume.attributes,
            volume.clear,
            recursive=volume.recursive,
            private=not volume.follows_node,
            name=volume.source,
        )
    except OSError:
        os.close(mount_fd)
        raise
    return mount_fd
