"""Writes files below a directory, step by step, never through a symlink.

Rules: every name is one component, opened below the directory before it with O_NOFOLLOW, so that no
symlink of an image, however it came about, leads a later member elsewhere. A symlink itself may
point anywhere: the guest meets it inside its own root. Set-id bits are dropped, and devices have no
way in. Source of the whiteouts: image-spec, layer.md.
"""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from shim.errdefs import InvalidArgumentError
from shim.oci.paths import MAX_PATH_BYTES, safe_path
from shim.unpack.streams import CHUNK_BYTES
from shim.unpack.tar import Member, Type

_WHITEOUT = ".wh."
_WHITEOUT_META = ".wh..wh."
_OPAQUE = ".wh..wh..opq"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_ID = 2**32 - 2

ReadData = Callable[[int], bytes]


class Place:
    """The directory `root_fd`, into which one layer after another is laid."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._is_root = os.geteuid() == 0
        self._fresh: set[str] = set()

    def begin_layer(self) -> None:
        """From here on, whiteouts hide what is there now."""
        self._fresh = set()

    def add(self, member: Member, read: ReadData) -> None:
        """Write one member; `read` yields a file's data.

        Raises:
            InvalidArgumentError: its name, its link or what is there already leads astray.
        """
        where = f"tar member {member.name[:200]!r}"
        if member.type is Type.DIRECTORY and not member.name.strip("./"):
            return
        path = safe_path(member.name, where)
        name = path.rpartition("/")[2]
        if name.startswith(_WHITEOUT):
            self._hide(path, where)
            return
        with self._parent(path, where) as (parent_fd, leaf):
            self._make(member, (parent_fd, leaf), read, where)
        self._remember(path)

    def add_file(self, path: str, read: ReadData) -> None:
        """Write a file that no tar has described: everybody may read it.

        Raises:
            InvalidArgumentError: as `add`.
        """
        self.add(Member(path, Type.FILE, 0, 0o644, 0, 0, ""), read)

    def _make(self, member: Member, at: tuple[int, str], read: ReadData, where: str) -> None:
        parent_fd, leaf = at
        if member.type is Type.HARDLINK:
            self._link(member, at, where)
            return
        old = _mode(parent_fd, leaf)
        if member.type is not Type.DIRECTORY or not stat.S_ISDIR(old):
            _remove(parent_fd, leaf, old)
        if member.type is Type.SYMLINK:
            if not 0 < len(os.fsencode(member.link)) <= MAX_PATH_BYTES or "\0" in member.link:
                raise InvalidArgumentError(f"{where} is a symlink to nothing that can be named")
            os.symlink(member.link, leaf, dir_fd=parent_fd)
            self._own(member, lambda uid, gid: _chown(at, uid, gid))
        elif member.type is Type.DIRECTORY:
            if not stat.S_ISDIR(old):
                os.mkdir(leaf, 0o755, dir_fd=parent_fd)
            fd = os.open(leaf, _DIRECTORY, dir_fd=parent_fd)
            # the owner's bits stay, for whoever unpacks without being root
            self._finish(fd, member, member.mode & 0o777 | 0o700)
        else:
            fd = os.open(leaf, _NEW_FILE, 0o600, dir_fd=parent_fd)
            self._fill(fd, read)
            self._finish(fd, member, member.mode & 0o777)

    def _fill(self, fd: int, read: ReadData) -> None:
        try:
            while data := read(CHUNK_BYTES):
                while data:
                    data = data[os.write(fd, data) :]
        except BaseException:
            os.close(fd)
            raise

    def _finish(self, fd: int, member: Member, mode: int) -> None:
        try:
            self._own(member, lambda uid, gid: os.fchown(fd, uid, gid))
            os.fchmod(fd, mode)
        finally:
            os.close(fd)

    def _own(self, member: Member, chown: Callable[[int, int], None]) -> None:
        if max(member.uid, member.gid) > _MAX_ID:
            raise InvalidArgumentError(
                f"tar member {member.name[:200]!r} has the impossible owner"
                f" {member.uid}:{member.gid}"
            )
        if self._is_root:
            chown(member.uid, member.gid)

    def _link(self, member: Member, at: tuple[int, str], where: str) -> None:
        target = safe_path(member.link, f"{where}, a hard link")
        with self._parent(target, where, create=False) as (target_fd, target_leaf):
            if not stat.S_ISREG(_mode(target_fd, target_leaf)):
                raise InvalidArgumentError(f"{where} is a hard link to what is no file here")
            if _is_same(at, (target_fd, target_leaf)):
                return
            _remove(*at, _mode(*at))
            os.link(
                target_leaf, at[1], src_dir_fd=target_fd, dst_dir_fd=at[0], follow_symlinks=False
            )

    @contextmanager
    def _parent(self, path: str, where: str, *, create: bool = True) -> Iterator[tuple[int, str]]:
        *directories, leaf = path.split("/")
        fd = os.dup(self._root_fd)
        try:
            for name in directories:
                if create and not _mode(fd, name):
                    os.mkdir(name, 0o755, dir_fd=fd)
                try:
                    below = os.open(name, _DIRECTORY, dir_fd=fd)
                except (NotADirectoryError, FileNotFoundError) as error:
                    raise InvalidArgumentError(
                        f"{where}: {name!r} on its way is a symlink, a file or not there"
                    ) from error
                os.close(fd)
                fd = below
            yield fd, leaf
        finally:
            os.close(fd)

    def _remember(self, path: str) -> None:
        while path:
            self._fresh.add(path)
            path = path.rpartition("/")[0]

    def _hide(self, path: str, where: str) -> None:
        """Carry a whiteout out, on what lower layers have put there alone."""
        directory, _, name = path.rpartition("/")
        hidden = name.removeprefix(_WHITEOUT)
        if hidden in {"", ".", ".."}:
            raise InvalidArgumentError(f"{where} is a whiteout of nothing")
        if name.startswith(_WHITEOUT_META) and name != _OPAQUE:
            return
        try:
            with self._parent(path, where, create=False) as (parent_fd, _):
                if name == _OPAQUE:
                    self._clear(parent_fd, directory)
                else:
                    self._hide_one(parent_fd, hidden, f"{directory}/{hidden}".lstrip("/"))
        except InvalidArgumentError:
            # nothing below what is no directory here: nothing to hide
            return

    def _clear(self, fd: int, directory: str) -> None:
        for name in os.listdir(fd):
            self._hide_one(fd, name, f"{directory}/{name}".lstrip("/"))

    def _hide_one(self, parent_fd: int, name: str, path: str) -> None:
        mode = _mode(parent_fd, name)
        if path not in self._fresh:
            _remove(parent_fd, name, mode)
        elif stat.S_ISDIR(mode):
            # this layer's too, but what lower ones have put into it goes
            fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
            try:
                self._clear(fd, path)
            finally:
                os.close(fd)


def _mode(parent_fd: int, name: str) -> int:
    """The mode of what is there, and 0 where nothing is."""
    try:
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _remove(parent_fd: int, name: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        shutil.rmtree(name, dir_fd=parent_fd)
    elif mode:
        os.unlink(name, dir_fd=parent_fd)


def _is_same(one: tuple[int, str], other: tuple[int, str]) -> bool:
    try:
        stats = [os.stat(name, dir_fd=fd, follow_symlinks=False) for fd, name in (one, other)]
    except FileNotFoundError:
        return False
    return os.path.samestat(*stats)


def _chown(at: tuple[int, str], uid: int, gid: int) -> None:
    os.chown(at[1], uid, gid, dir_fd=at[0], follow_symlinks=False)
