"""What this boot of the node knows of the cache's artefacts, so that a warm start reads none.

A mark is a symbolic link: its name is what somebody looks for, its text the artefact that answers
it, as that file was when it was found to be whole: inode, size and change time. A file that was
written to, replaced or restored since has another change time (inode(7); nothing but the clock can
set it), so it is a miss, and the loader reads the artefact again. Rules: the name holds the boot's
id: what happened to the disk while this kernel did not look is unknown. A mark is only speed:
whatever cannot be written or read is a miss.
"""

import contextlib
import functools
import os
import time
from pathlib import Path

from shim.aot.entry import Artefact
from shim.aot.locks import PARTIAL
from shim.wasm.binary import Kind

DESCRIPTION = ".json"


@functools.cache
def boot_id() -> str:
    """16 hex digits that no other boot of this node has (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", "")[:16]


class Marks:
    """The marks of the artefacts in one directory."""

    def __init__(self, directory: Path, artefacts: Path) -> None:
        # Texts, not paths: this is on the start path.
        self._prefix = f"{directory}/{boot_id()}."
        self._artefacts = os.fspath(artefacts)

    def find(self, name: str) -> Artefact | None:
        """The artefact that answers `name`, if it is still what it was; this counts as a use."""
        try:
            file, inode, size, changed = os.readlink(self._prefix + name).split(" ")  # noqa: PTH115
            path = f"{self._artefacts}/{file}"
            status = os.lstat(path)
            digest, kind = file.split(".")
            os.utime(f"{self._artefacts}/{digest}{DESCRIPTION}")
        except (OSError, ValueError):
            return None
        if (inode, size, changed) != _facts(status):
            return None
        return Artefact(Path(path), Kind(kind), digest)

    def put(self, name: str, artefact: Artefact, status: os.stat_result) -> None:
        """Let `find` answer `name` with an artefact that is whole.

        Args:
            name: what to look for, without a slash.
            artefact: what was read, or written.
            status: of the file that was.
        """
        self._write(name, " ".join((artefact.path.name, *_facts(status))))

    def copy(self, name: str, other: str) -> None:
        """Let `other` be answered as `name` is."""
        with contextlib.suppress(OSError):
            self._write(other, os.readlink(self._prefix + name))  # noqa: PTH115

    def _write(self, name: str, text: str) -> None:
        fresh = f"{self._prefix}{os.getpid()}.{time.monotonic_ns()}{PARTIAL}"
        # an eviction beside us may take it for debris, a disk be full
        with contextlib.suppress(OSError):
            os.symlink(text, fresh)  # noqa: PTH211 (a text, no path)
            os.rename(fresh, self._prefix + name)  # noqa: PTH104


def is_alive(memo: Path, name: str) -> bool:
    """Whether a file of the directory `memo` is a mark whose artefact is there."""
    if not name.startswith(f"{boot_id()}.") or name.endswith(PARTIAL):
        return False
    try:
        return os.path.lexists(memo.parent / str((memo / name).readlink()).split(" ")[0])
    except OSError:
        return False


def _facts(status: os.stat_result) -> tuple[str, str, str]:
    return str(status.st_ino), str(status.st_size), str(status.st_ctime_ns)
