"""The node's cache of compiled modules, as its readers see it.

Rules: deserialising an artefact is loading code, so every directory belongs to us alone, only the
loader writes, and an artefact is believed only when this boot has seen it whole:
docs/decisions/0013-how-cache-entries-are-trusted.md.

Below the directory, one directory per compatibility key:
`DIGEST.module`, `DIGEST.component`, `DIGEST.service` are artefacts;
`DIGEST.json` is what is known of one (`Description`); its mtime is the time of the last use;
`*.partial` is a file being written, locked by its writer;
`memo/BOOT.NAME` is a mark: see `Marks`.
Artefacts of another kind of code (`Code`) are in a directory of their own, whose name ends in the
kind's, such as `.interruptible`. Beside these, `layers` has the files of images (`Layers`), and
`slots` the locks of running compilations.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from shim.aot.directory import open_below, open_private
from shim.aot.entry import Artefact, Description, decode_description
from shim.aot.layers import Layers
from shim.aot.locks import PARTIAL, lock_file
from shim.aot.marks import DESCRIPTION, Marks
from shim.aot.writer import EntryWriter, mark_of_digest
from shim.engine.code import Code

__all__ = ["Artefact", "Cache"]

MEMO = "memo"
LAYERS = "layers"
SLOTS = "slots"
# a file can change without a new time stamp for as long as the clock that stamps it stands still;
# 2 s is the coarsest of all file systems
_RACY_NS = 2_000_000_000


class Cache:
    """Artefacts by the digest of their module; `max_bytes` is what all of them may take on disk."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        compatibility_key: str,
        code: Code = Code.PLAIN,
    ) -> None:
        """Make or check the directories; see `open_private` for what is refused.

        Args:
            directory: the node's.
            max_bytes: what all artefacts may take on disk.
            compatibility_key: what artefacts depend on.
            code: which kind of native code the artefacts are.
        """
        self.directory = open_private(directory)
        self.max_bytes = max_bytes
        self._compatibility_key = compatibility_key
        key = hashlib.sha256(compatibility_key.encode()).hexdigest()[:16]
        self.code = code
        self.artefacts = open_below(self.directory, key + code.suffix)
        self.marks = Marks(open_below(self.artefacts, MEMO), self.artefacts)

    def of(self, code: Code) -> "Cache":
        """The same with artefacts of this kind; their directory is made when first asked for."""
        if code is self.code:
            return self
        return Cache(self.directory, self.max_bytes, self._compatibility_key, code)

    @property
    def layers(self) -> Layers:
        """The unpacked layers."""
        return Layers(open_below(self.directory, LAYERS))

    @property
    def slots(self) -> Path:
        """The directory of the locks that bound how many modules are compiled at once."""
        return open_below(self.directory, SLOTS)

    def find(self, module_fd: int, identity: str) -> Artefact | None:
        """Look up the artefact of an open module by what is known of the file; reads no module.

        Args:
            module_fd: the module, open; its offset stays as it is.
            identity: where the file comes from: a text that is another one for another image.
        """
        return self.marks.find(_mark_of_file(identity, os.fstat(module_fd)))

    def lookup(self, digest: str, image: str | None = None) -> Artefact | None:
        """The artefact of the module with this sha256 digest, if this boot has seen it whole.

        Reads no module: fit for the pod shim. A miss is a loader's business, who finds out why.

        Args:
            digest: of the module, in hex.
            image: the image that it came from, as `ModuleSource.image`; an entry that does not know
                this image is a miss, so that the loader makes it known.
        """
        return self.marks.find(mark_of_digest(digest, image))

    def describe(self, artefact: Artefact) -> Description | None:
        """What is known of an artefact."""
        try:
            return decode_description(artefact.path.with_suffix(DESCRIPTION).read_bytes())
        except OSError:
            return None

    def drop(self, artefact: Artefact) -> None:
        """Remove an artefact that cannot be loaded, so that the next loader compiles it anew."""
        for path in (artefact.path.with_suffix(DESCRIPTION), artefact.path):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self, digest: str) -> Iterator[EntryWriter]:
        """Hold the lock of a digest, waiting for whoever holds it; drops what was not finished.

        The loader's way to an entry, to be believed or to be made.
        """
        path = self.artefacts / f"{digest}{PARTIAL}"
        fd = lock_file(path, os.O_RDWR | os.O_CREAT)
        writer = EntryWriter(fd, path, self.marks)
        try:
            yield writer
        finally:
            if not writer.finished:
                path.unlink(missing_ok=True)
            os.close(fd)

    def remember(
        self, identity: str, status: os.stat_result, hashed_ns: int, artefact: Artefact
    ) -> None:
        """Let `find` know the artefact of a file, unless the file could change unnoticed.

        Args:
            identity: as for `find`.
            status: of the file, the same before and after it was read.
            hashed_ns: the wall time at which reading began.
            artefact: of the bytes that were read; `writing` has found it whole, or made it.
        """
        if hashed_ns - status.st_ctime_ns < _RACY_NS:
            return
        if abs(hashed_ns - status.st_mtime_ns) < _RACY_NS:
            return
        self.marks.copy(mark_of_digest(artefact.digest, None), _mark_of_file(identity, status))


def _mark_of_file(identity: str, status: os.stat_result) -> str:
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    facts = f"{identity}\0{status.st_ino} {status.st_size} {times}"
    return hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()
