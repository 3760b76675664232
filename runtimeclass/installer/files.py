"""Changes of files that survive a SIGKILL or a power cut at any moment: all or nothing.

Rules: what has a name is whole: it is written beside it, synced, and renamed; nothing is ever
truncated. `before` is called with the act and the path before each of them (the tests kill, and
fill the disk, from there). Every OSError becomes a HostError that names the path.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from runtimeclass.installer.errors import HostError

NEW = ".tandem-new"
OLD = ".tandem-old"

_WAYS_OUT = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "make it writable, or mount it",
    errno.EACCES: "run as root",
    errno.EPERM: "run as root, and where the file has another group, with CAP_CHOWN",
}


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it is, or shall be; `owner` is (uid, gid)."""

    data: bytes
    mode: int = 0o644
    owner: tuple[int, int] = (0, 0)

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


def _nothing(act: str, path: Path) -> None:
    del act, path


class Files:
    """The acts. Paths are the installer's own, not the node's."""

    def __init__(self, before: Callable[[str, Path], None] = _nothing) -> None:
        """`before` may raise OSError, which counts as the act's own."""
        self._before = before

    def read(self, path: Path) -> Content | str | None:
        """A file's content, a link's target, or None where nothing is there.

        Raises:
            HostError: it is something else, or cannot be read.
        """
        with told("read", path):
            try:
                status = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if stat.S_ISLNK(status.st_mode):
                return os.readlink(path)  # noqa: PTH115 (a Path would drop a leading ./)
            if not stat.S_ISREG(status.st_mode):
                raise HostError(f"{path} is neither a file nor a link: move it away")
            mode = stat.S_IMODE(status.st_mode)
            return Content(path.read_bytes(), mode, (status.st_uid, status.st_gid))

    def write(self, path: Path, content: Content) -> None:
        """Put a file in the place of what is there."""
        new = path.with_name(f".{path.name}{NEW}")
        with told("write", path):
            try:
                self._before("create", path)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(new, flags, 0o600)
                with os.fdopen(fd, "wb") as file:
                    file.write(content.data)
                    if content.owner != (os.geteuid(), os.getegid()):
                        os.fchown(fd, *content.owner)
                    os.fchmod(fd, content.mode)
                    file.flush()
                    os.fsync(fd)
                self._before("rename", path)
                new.rename(path)
            except OSError:
                with contextlib.suppress(OSError):
                    new.unlink()
                raise
            _sync_directory(path.parent)

    def link(self, path: Path, target: str) -> None:
        """Put a link in the place of what is there."""
        new = path.with_name(f".{path.name}{NEW}")
        with told("link", path):
            try:
                self._before("link", path)
                new.unlink(missing_ok=True)
                new.symlink_to(target)
                new.rename(path)
            except OSError:
                with contextlib.suppress(OSError):
                    new.unlink()
                raise
            _sync_directory(path.parent)

    def remove(self, path: Path) -> None:
        """Remove a file or a link, if it is there."""
        with told("remove", path):
            self._before("remove", path)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                _sync_directory(path.parent)

    def sweep(self, path: Path) -> None:
        """Remove what a kill left beside a file that was about to be written."""
        new = path.with_name(f".{path.name}{NEW}")
        with told("remove", new):
            # On a read-only file system, what is not there cannot be removed, either.
            if os.path.lexists(new):
                new.unlink(missing_ok=True)

    def make_directory(self, path: Path, mode: int = 0o755) -> None:
        """Make one directory, whose parent is there."""
        with told("make", path):
            self._before("mkdir", path)
            path.mkdir(mode, exist_ok=True)
            _sync_directory(path.parent)

    def remove_directory(self, path: Path) -> bool:
        """Remove it if it is there and empty; whether it is gone.

        One that is a mount of the installer's own container stays.
        """
        with told("remove", path):
            self._before("rmdir", path)
            try:
                path.rmdir()
                _sync_directory(path.parent)
            except FileNotFoundError:
                return True
            except OSError:
                return False
        return True

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and all in it; from the first moment it has not its name any more."""
        old = path.with_name(f".{path.name}{OLD}")
        with told("remove", path):
            self._before("rename", path)
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.exists():
                if old.exists():
                    shutil.rmtree(old)
                path.rename(old)
                _sync_directory(path.parent)
            self._before("rmtree", path)
            if old.exists():
                shutil.rmtree(old)

    def empty(self, path: Path) -> None:
        """Remove all that is in a directory, and the directory, unless that is a mount."""
        with told("empty", path):
            if path.is_dir() and not path.is_symlink():
                for each in path.iterdir():
                    self._before("remove", each)
                    if each.is_dir() and not each.is_symlink():
                        shutil.rmtree(each)
                    else:
                        each.unlink(missing_ok=True)
        self.remove_directory(path)

    def adopt(self, new: Path, path: Path) -> None:
        """Give a directory that is complete its name; everything in it is on the disk first."""
        with told("rename", path):
            _sync_file_system(new)
            self._before("adopt", path)
            new.rename(path)
            _sync_directory(path.parent)


@contextlib.contextmanager
def told(act: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a HostError that says what was done to which path."""
    try:
        yield
    except OSError as error:
        way_out = _WAYS_OUT.get(error.errno or 0, "look at the file system")
        text = f"cannot {act} {path}: {error.strerror or error}; {way_out}, then call again"
        raise HostError(text) from error


def _sync_file_system(path: Path) -> None:
    """syncfs(2): one call for thousands of files, and not for the node's other disks."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
