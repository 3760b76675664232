"""Keeps the cache within its size, and clears what dead loaders left behind.

Rules: only loaders call this, and several may do so at once: whatever vanishes meanwhile is no
error. Removing an artefact that instances have mapped does not disturb them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from shim.aot.cache import MEMO, PARTIAL, Artefact, Cache, lock_file
from shim.wasm.binary import Kind

_SUFFIXES = tuple(f".{kind}" for kind in Kind)
# per compatibility key; a memo entry is an inode without data
_MAX_MEMO_ENTRIES = 4096


def evict(cache: Cache, keep: Artefact) -> None:
    """Remove the artefacts that were not used for longest until the rest fits, and debris.

    Args:
        cache: the cache; artefacts of every compatibility key count.
        keep: an artefact that stays even if it alone is too large.
    """
    for directory in _entries(cache.directory):
        for partial in _entries(Path(directory)):
            if partial.name.endswith(PARTIAL):
                _remove_if_abandoned(Path(partial))
    _shrink(cache, keep)
    for directory in _entries(cache.directory):
        _prune_memo(Path(directory, MEMO))


def _shrink(cache: Cache, keep: Artefact) -> None:
    found = []
    for directory in _entries(cache.directory):
        for entry in _entries(Path(directory)):
            if entry.name.endswith(_SUFFIXES):
                status = _status(entry)
                if status:
                    found.append((status.st_mtime_ns, status.st_blocks * 512, Path(entry)))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= cache.max_bytes:
            return
        if path != keep.path:
            path.unlink(missing_ok=True)
            total -= size


def _remove_if_abandoned(partial: Path) -> None:
    try:
        fd = lock_file(partial, wait=False)
    except (BlockingIOError, FileNotFoundError):
        return
    partial.unlink(missing_ok=True)
    os.close(fd)


def _prune_memo(memo: Path) -> None:
    alive = []
    for entry in _entries(memo):
        status = _status(entry)
        if not status:
            continue
        if entry.name.endswith(PARTIAL) or not Path(entry).exists():
            Path(entry).unlink(missing_ok=True)
        else:
            alive.append((status.st_mtime_ns, Path(entry)))
    alive.sort(reverse=True)
    for _, path in alive[_MAX_MEMO_ENTRIES:]:
        path.unlink(missing_ok=True)


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
