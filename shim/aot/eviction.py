"""Keeps the cache within its size, and clears what dead loaders left behind.

Rules: loaders and the node's owner call this, several at once: whatever vanishes meanwhile is no
error. Removing an artefact that instances have mapped does not disturb them; a layer that somebody
holds stays. What belongs to images that are gone goes first, then what was not used for longest.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from shim.aot.cache import LAYERS, MEMO, Cache
from shim.aot.entry import Artefact, decode_description
from shim.aot.locks import PARTIAL, lock_file, remove_if_abandoned
from shim.aot.marks import DESCRIPTION, is_alive
from shim.aot.writer import KINDS
from shim.wasm.binary import Kind

# per compatibility key; a mark is an inode without data
_MAX_MARKS = 4096
LAYER = "layer"

AskAlive = Callable[[], Set[str] | None]
"""Gets the digests of all images' manifests and indexes; None where nobody can tell."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that takes room in the cache.

    Attributes:
        path: an artefact, or a layer's directory.
        kind: `module`, `component` or `layer`.
        digest: of the module, or of the layer's blob, in hex.
        size: on disk, in bytes.
        module_size: in bytes; 0 where it is not known.
        images: digests of the manifests that it came from; empty where they are not known.
        used_ns: when it was used last, in nanoseconds since the epoch.
        is_current: whether this Tandem, wasmtime and processor can use it.
    """

    path: Path
    kind: str
    digest: str
    size: int
    module_size: int
    images: tuple[str, ...]
    used_ns: int
    is_current: bool

    def is_gone(self, alive_images: Set[str] | None) -> bool:
        """Whether it came from images, and none of them is alive."""
        return (
            alive_images is not None and bool(self.images) and alive_images.isdisjoint(self.images)
        )


def choose(
    entries: Iterable[Entry],
    alive_images: Set[str] | None,
    max_bytes: int,
    keep: Set[Path] = frozenset(),
) -> Sequence[Entry]:
    """What has to go so that the rest fits.

    Args:
        entries: all there are.
        alive_images: the digests of all images' manifests; None where nobody could be asked.
        max_bytes: what fits.
        keep: paths of entries that stay, even if they alone are too large.
    """
    entries = sorted(entries, key=lambda entry: (not entry.is_gone(alive_images), entry.used_ns))
    excess = sum(entry.size for entry in entries) - max_bytes
    chosen = []
    for entry in entries:
        if excess <= 0:
            break
        if entry.path not in keep:
            chosen.append(entry)
            excess -= entry.size
    return chosen


def nobody_to_ask() -> None:
    """Where no containerd is known."""


def evict(cache: Cache, keep: Artefact, ask_alive_images: AskAlive = nobody_to_ask) -> None:
    """Clear debris, then make the cache fit.

    Args:
        cache: the cache; artefacts of every compatibility key, and layers, count.
        keep: an artefact that stays even if it alone is too large.
        ask_alive_images: as for `choose`; asked only where something has to go.
    """
    clear_debris(cache)
    entries, kept = list_entries(cache), {keep.path}
    if not choose(entries, None, cache.max_bytes, kept):
        return
    alive_images = ask_alive_images()
    while chosen := choose(entries, alive_images, cache.max_bytes, kept):
        for entry in chosen:
            if remove(cache, entry):
                entries.remove(entry)
            else:
                kept.add(entry.path)


def list_entries(cache: Cache) -> list[Entry]:
    """Everything that takes room."""
    found: list[Entry] = []
    current = _key_of(cache.artefacts.name)
    for directory in _entries(cache.directory):
        if directory.name == LAYERS:
            found += _list_layers(cache)
        elif directory.is_dir(follow_symlinks=False):
            is_current = _key_of(directory.name) == current
            found += _list_artefacts(Path(directory), is_current=is_current)
    return found


def remove(cache: Cache, entry: Entry) -> bool:
    """Remove an entry; False where it stays because somebody uses it."""
    if entry.kind == LAYER:
        return cache.layers.remove(entry.digest)
    cache.drop(Artefact(entry.path, Kind(entry.kind), entry.digest))
    return True


def clear_debris(cache: Cache) -> None:
    """Remove what dead loaders left, and marks of other boots."""
    cache.layers.clear_debris()
    for directory in _entries(cache.directory):
        for partial in _entries(Path(directory)):
            if partial.name.endswith(PARTIAL) and partial.is_file(follow_symlinks=False):
                remove_if_abandoned(Path(partial))
            elif partial.name.endswith(DESCRIPTION) and directory.name != LAYERS:
                _remove_if_alone(Path(partial))
        _prune_marks(Path(directory, MEMO))


def _key_of(name: str) -> str:
    # what follows is the kind of code
    return name.partition(".")[0]


def _list_artefacts(directory: Path, *, is_current: bool) -> Iterator[Entry]:
    for found in _entries(directory):
        digest, _, kind = found.name.partition(".")
        if kind not in KINDS:
            continue
        path = Path(found)
        description, used_ns = None, 0
        with contextlib.suppress(OSError):
            described = path.with_suffix(DESCRIPTION)
            used_ns = described.stat().st_mtime_ns
            description = decode_description(described.read_bytes())
        with contextlib.suppress(OSError):
            yield Entry(
                path=path,
                kind=kind,
                digest=digest,
                size=path.lstat().st_blocks * 512,
                module_size=description.module_size if description else 0,
                images=description.images if description else (),
                used_ns=used_ns,
                is_current=is_current,
            )


def _list_layers(cache: Cache) -> Iterator[Entry]:
    for found in _entries(cache.layers.directory):
        if "." in found.name:
            continue
        facts = cache.layers.facts(found.name)
        used_ns = 0
        with contextlib.suppress(OSError):
            used_ns = cache.layers.path(f"{found.name}{DESCRIPTION}").stat().st_mtime_ns
        yield Entry(
            path=Path(found),
            kind=LAYER,
            digest=found.name,
            size=facts.size if facts else 0,
            module_size=0,
            images=facts.images if facts else (),
            used_ns=used_ns,
            is_current=True,
        )


def _remove_if_alone(description: Path) -> None:
    """Remove a description whose artefact is gone, unless its writer is about to name it."""
    artefacts = [description.with_suffix(f".{kind}") for kind in KINDS]
    if any(map(os.path.lexists, artefacts)):
        return
    partial = description.with_suffix(PARTIAL)
    try:
        fd = lock_file(partial, os.O_RDWR | os.O_CREAT, wait=False)
    except BlockingIOError:
        return
    try:
        if not any(map(os.path.lexists, artefacts)):
            description.unlink(missing_ok=True)
    finally:
        partial.unlink(missing_ok=True)
        os.close(fd)


def _prune_marks(memo: Path) -> None:
    alive = []
    for entry in _entries(memo):
        with contextlib.suppress(OSError):
            if is_alive(memo, entry.name):
                alive.append((entry.stat(follow_symlinks=False).st_mtime_ns, Path(entry)))
            else:
                Path(entry).unlink(missing_ok=True)
    alive.sort(reverse=True)
    for _, path in alive[_MAX_MARKS:]:
        path.unlink(missing_ok=True)


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return
