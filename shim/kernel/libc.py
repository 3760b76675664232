"""The kernel as an interface, and the real one behind it.

Rules: no policy. A method is the system call of its name (`new_tmpfs` and `set_identity` are short
series) and fails with an `OSError` that carries the errno and the object's name. What Python wraps
well (mkdir, fchdir) is repeated only where a test must see the order of steps. Needs Linux 5.14.
"""

import ctypes
import os
import platform
import resource
import struct
from pathlib import Path
from typing import Protocol

from shim.kernel import constants as c


class Kernel(Protocol):
    """The system calls that build a jail. Flags are those of `shim.kernel.constants`."""

    def mount(
        self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = ""
    ) -> None:
        """Mount."""

    def umount(self, target: str, flags: int = 0) -> None:
        """Unmount."""

    def pivot_root(self, new_root: str, put_old: str) -> None:
        """Make `new_root` the root of the mount namespace."""

    def open_tree(self, path: str, flags: int) -> int:
        """Open the mount at `path`, or a clone of it."""

    def move_mount(self, mount_fd: int, target_fd: int, name: str) -> None:
        """Attach a detached mount at `target_fd`; `name` is for the error."""

    def mount_setattr(
        self,
        mount_fd: int,
        attributes: int,
        clear: int,
        *,
        recursive: bool,
        private: bool,
        name: str,
    ) -> None:
        """Set and clear MOUNT_ATTR_* of a mount, and cut it off from its peers if `private`."""

    def new_tmpfs(self, options: tuple[str, ...], attributes: int, name: str) -> int:
        """Make a detached tmpfs with `options` ("size=64k")."""

    def open_in_root(self, root_fd: int, path: str, flags: int) -> int:
        """Open `path` as if `root_fd` were `/`, whatever symlinks it crosses."""

    def unshare(self, flags: int) -> None:
        """Leave the namespaces in `flags` for new ones."""

    def setns(self, path: str, kind: int) -> None:
        """Join the namespace of type `kind` (CLONE_NEW*) that `path` shows."""

    def sethostname(self, name: str) -> None:
        """Name the host of this uts namespace."""

    def prctl(self, option: int, argument: int = 0, name: str = "") -> int:
        """Call prctl with one argument; `name` is for the error."""

    def set_capabilities(self, mask: int) -> None:
        """Make exactly `mask` effective and permitted, and nothing inheritable."""

    def set_identity(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        """Become this user, with these groups, for good."""

    def set_rlimit(self, kind: int, soft: int, hard: int) -> None:
        """Set a resource limit."""

    def load_filter(self, program: bytes) -> None:
        """Add a BPF program to the calling thread's filters."""

    def close_range(self, first: int, last: int) -> None:
        """Close the file descriptors from `first` to `last`, both included."""

    def write(self, path: Path, text: str) -> None:
        """Write `text` to an existing file, in one call."""


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_MACHINE = platform.machine()
_AT_FDCWD = -100
_LONG = ctypes.c_long


def _text(value: str) -> bytes | None:
    return os.fsencode(value) if value else None


def _check(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def _syscall(number: int, *arguments: object, name: str) -> int:
    return _check(_libc.syscall(_LONG(number), *arguments), name)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class _LinuxKernel:
    """The kernel that this process runs on."""

    def mount(
        self, source: str, target: str, fstype: str = "", flags: int = 0, data: str = ""
    ) -> None:
        arguments = _text(source), os.fsencode(target), _text(fstype)
        _check(_libc.mount(*arguments, ctypes.c_ulong(flags), _text(data)), target)

    def umount(self, target: str, flags: int = 0) -> None:
        _check(_libc.umount2(os.fsencode(target), flags), target)

    def pivot_root(self, new_root: str, put_old: str) -> None:
        paths = os.fsencode(new_root), os.fsencode(put_old)
        _syscall(c.SYS_PIVOT_ROOT[_MACHINE], *paths, name=new_root)

    def open_tree(self, path: str, flags: int) -> int:
        flags |= os.O_CLOEXEC
        return _syscall(c.SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _LONG(flags), name=path)

    def move_mount(self, mount_fd: int, target_fd: int, name: str) -> None:
        flags = c.MOVE_MOUNT_F_EMPTY_PATH | c.MOVE_MOUNT_T_EMPTY_PATH
        _syscall(c.SYS_MOVE_MOUNT, mount_fd, b"", target_fd, b"", _LONG(flags), name=name)

    def mount_setattr(
        self,
        mount_fd: int,
        attributes: int,
        clear: int,
        *,
        recursive: bool,
        private: bool,
        name: str,
    ) -> None:
        attr = struct.pack("=QQQQ", attributes, clear, c.MS_PRIVATE if private else 0, 0)
        flags = c.AT_EMPTY_PATH | (c.AT_RECURSIVE if recursive else 0)
        arguments = mount_fd, b"", _LONG(flags), attr, _LONG(len(attr))
        _syscall(c.SYS_MOUNT_SETATTR, *arguments, name=name)

    def new_tmpfs(self, options: tuple[str, ...], attributes: int, name: str) -> int:
        context = _syscall(c.SYS_FSOPEN, b"tmpfs", _LONG(c.FSOPEN_CLOEXEC), name=name)
        try:
            for option in options:
                key, separator, value = option.partition("=")
                command = c.FSCONFIG_SET_STRING if separator else c.FSCONFIG_SET_FLAG
                member = os.fsencode(key), os.fsencode(value) if separator else None
                arguments = context, _LONG(command), *member, _LONG(0)
                _syscall(c.SYS_FSCONFIG, *arguments, name=f"{name} ({option})")
            create = _LONG(c.FSCONFIG_CMD_CREATE), None, None, _LONG(0)
            _syscall(c.SYS_FSCONFIG, context, *create, name=name)
            flags = _LONG(c.FSMOUNT_CLOEXEC), _LONG(attributes)
            return _syscall(c.SYS_FSMOUNT, context, *flags, name=name)
        finally:
            os.close(context)

    def open_in_root(self, root_fd: int, path: str, flags: int) -> int:
        resolve = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS
        how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve)
        arguments = root_fd, os.fsencode(path), how, _LONG(len(how))
        return _syscall(c.SYS_OPENAT2, *arguments, name=path)

    def unshare(self, flags: int) -> None:
        _check(_libc.unshare(ctypes.c_int(flags)), f"namespaces {flags:#x}")

    def setns(self, path: str, kind: int) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(fd, ctypes.c_int(kind)), path)
        finally:
            os.close(fd)

    def sethostname(self, name: str) -> None:
        data = os.fsencode(name)
        _check(_libc.sethostname(data, ctypes.c_size_t(len(data))), name)

    def prctl(self, option: int, argument: int = 0, name: str = "") -> int:
        zero = _LONG(0)
        return _check(_libc.prctl(option, _LONG(argument), zero, zero, zero), name or str(option))

    def set_capabilities(self, mask: int) -> None:
        header = struct.pack("=Ii", c.CAPABILITY_VERSION_3, 0)
        low, high = mask & 0xFFFFFFFF, mask >> 32
        data = struct.pack("=6I", low, low, 0, high, high, 0)
        _check(_libc.capset(header, data), f"capabilities {mask:#x}")

    def set_identity(self, uid: int, gid: int, groups: tuple[int, ...]) -> None:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

    def set_rlimit(self, kind: int, soft: int, hard: int) -> None:
        resource.setrlimit(kind, (soft, hard))

    def load_filter(self, program: bytes) -> None:
        header = _FilterProgram(len(program) // 8, program)
        # Not by seccomp(2), which profiles forbid that let prctl(2) do the same.
        arguments = _LONG(c.SECCOMP_MODE_FILTER), ctypes.byref(header), _LONG(0), _LONG(0)
        _check(_libc.prctl(c.PR_SET_SECCOMP, *arguments), "seccomp filter")

    def close_range(self, first: int, last: int) -> None:
        limits = ctypes.c_ulong(first), ctypes.c_ulong(last), _LONG(0)
        _syscall(c.SYS_CLOSE_RANGE, *limits, name=f"file descriptors {first}-{last}")

    def write(self, path: Path, text: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        except OSError as error:
            error.filename = str(path)
            raise
        finally:
            os.close(fd)


LINUX: Kernel = _LinuxKernel()
