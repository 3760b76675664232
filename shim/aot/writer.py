"""One entry of the cache in the hands of a loader: to be believed as it lies there, or made anew.

Rules: whoever has an `EntryWriter` holds the entry's lock. The order of writing is what a SIGKILL
or a power cut at any instant is met with: the artefact's bytes, then its description, then the
artefact's name; what lacks one of them, or whose bytes are not those described, is removed.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import time
from pathlib import Path

from shim.aot.entry import Artefact, Description, decode_description, encode_description
from shim.aot.locks import write_to_disk, write_whole
from shim.aot.marks import DESCRIPTION, Marks
from shim.errdefs import UnavailableError
from shim.wasm.binary import Kind

# What has a name of its own in the cache; text is compiled as one of these.
KINDS = (Kind.MODULE, Kind.COMPONENT, Kind.SERVICE)
# the kernel's clock for files stands still for a tick, of at most 10 ms
_TICK_NS = 20_000_000


def mark_of_digest(digest: str, image: str | None) -> str:
    """The name of the mark by which a module of an image is found."""
    return hashlib.sha256(f"{digest} {image}".encode()).hexdigest() if image else digest


class EntryWriter:
    """The entry of one digest; `path` is its half-written artefact, and the lock as well."""

    def __init__(self, fd: int, path: Path, marks: Marks) -> None:
        self._fd = fd
        self._path = path
        self._marks = marks
        self._digest = path.stem
        self.finished = False
        # Why what lay there was removed, for the node's log.
        self.removed: list[str] = []

    def verify(self, image: str | None) -> Artefact | None:
        """The artefact that lies there, read in full; what is not whole is removed.

        Args:
            image: where the module came from this time; the entry knows it afterwards.
        """
        description = self._description()
        whole = None
        for kind in KINDS:
            path = self._path.with_suffix(f".{kind}")
            if not os.path.lexists(path):
                continue
            reason = "it has no description"
            if description is not None:
                artefact = Artefact(path, kind, self._digest)
                reason = self._read(artefact, description, image)
                if not reason:
                    whole = artefact
                    continue
            _remove(path)
            self.removed.append(f"{path}: {reason}")
        if whole is None:
            self._path.with_suffix(DESCRIPTION).unlink(missing_ok=True)
        return whole

    def finish(
        self, kind: Kind, data: bytes | bytearray, module_size: int, image: str | None
    ) -> Artefact:
        """Write the entry and give it its name.

        Args:
            kind: of the module.
            data: the artefact.
            module_size: of the module, in bytes.
            image: where it came from.

        Raises:
            UnavailableError: the disk is full, or failed.
        """
        artefact = Artefact(self._path.with_suffix(f".{kind}"), kind, self._digest)
        images = (image,) if image else ()
        sha256 = hashlib.sha256(data).hexdigest()
        try:
            os.ftruncate(self._fd, 0)
            write_to_disk(self._fd, data)
            self._describe(
                Description(kind, sha256, len(data), module_size, images, int(time.time()))
            )
            self._path.rename(artefact.path)
            self.finished = True
            _sync(self._path.parent)
        except OSError as error:
            raise UnavailableError(
                f"cannot write the artefact {artefact.path}: {error.strerror};"
                " make room, or move [cache] directory"
            ) from error
        self._mark(artefact, os.fstat(self._fd), image)
        return artefact

    def _read(self, artefact: Artefact, expected: Description, image: str | None) -> str:
        """Say what is wrong with an artefact; where nothing is, mark it."""
        try:
            fd = os.open(artefact.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        try:
            status = os.fstat(fd)
            if problem := _problem(status, artefact.kind, expected):
                return problem
            _let_the_clock_move_on(status)
            with open(fd, "rb", closefd=False) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected.sha256:
                    return "its bytes are not those that were written"
            if os.fstat(fd).st_ctime_ns != status.st_ctime_ns:
                return "it changes while it is read"
        finally:
            os.close(fd)
        try:
            if image and image not in expected.images:
                self._describe(expected.with_image(image))
        except OSError:
            # a full disk keeps nobody from loading what is there; the next loader tries again
            image = None
        self._mark(artefact, status, image)
        return ""

    def _mark(self, artefact: Artefact, status: os.stat_result, image: str | None) -> None:
        for name in {mark_of_digest(self._digest, image), self._digest}:
            self._marks.put(name, artefact, status)

    def _description(self) -> Description | None:
        try:
            return decode_description(self._path.with_suffix(DESCRIPTION).read_bytes())
        except OSError:
            return None

    def _describe(self, description: Description) -> None:
        write_whole(self._path.with_suffix(DESCRIPTION), encode_description(description))


def _problem(status: os.stat_result, kind: Kind, expected: Description) -> str:
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in {0, os.geteuid()}:
        return "it is no file of ours"
    if status.st_mode & 0o022:
        return "others may write to it"
    if (kind, status.st_size) != (expected.kind, expected.size):
        said = f"{expected.kind} of {expected.size} bytes"
        return f"it is a {kind} of {status.st_size} bytes, its description says a {said}"
    return ""


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _let_the_clock_move_on(status: os.stat_result) -> None:
    """Return when whoever writes to the file from now on gives it another change time."""
    age_ns = time.time_ns() - status.st_ctime_ns
    if 0 <= age_ns < _TICK_NS:
        time.sleep((_TICK_NS - age_ns) / 1e9)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except IsADirectoryError:
        with contextlib.suppress(OSError):
            shutil.rmtree(path)
