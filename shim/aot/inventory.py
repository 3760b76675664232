"""What is in the cache, and clearing it by hand: for `tandem cache`, and for who watches images.

Rules: nothing is compiled here; who wants a module in the cache has a loader get it.
"""

from collections.abc import Sequence, Set
from enum import StrEnum

from shim.aot.cache import Cache
from shim.aot.eviction import Entry, clear_debris, list_entries, remove

__all__ = ["Entry", "Which", "list_entries", "prune"]


class Which(StrEnum):
    """What `prune` removes: everything; what the images that it came from have left behind; what
    another Tandem, wasmtime or processor has made."""

    ALL = "all"
    GONE = "gone"
    STALE = "stale"


def prune(
    cache: Cache,
    which: Which,
    alive_images: Set[str] | None = None,
    unused_since_ns: int | None = None,
) -> Sequence[Entry]:
    """Remove entries.

    Args:
        cache: the cache.
        which: of them.
        alive_images: for `GONE`: the digests of the manifests and indexes of all images there are;
            None where nobody could be asked, and then nothing is gone.
        unused_since_ns: spare what was used after this, in nanoseconds since the epoch: the images
            of a while ago say nothing of it.

    Returns:
        What was removed; a layer that a container uses stays.
    """
    chosen = [entry for entry in list_entries(cache) if _is(entry, which, alive_images)]
    if unused_since_ns is not None:
        chosen = [entry for entry in chosen if entry.used_ns < unused_since_ns]
    removed = [entry for entry in chosen if remove(cache, entry)]
    clear_debris(cache)
    return removed


def _is(entry: Entry, which: Which, alive_images: Set[str] | None) -> bool:
    match which:
        case Which.ALL:
            return True
        case Which.GONE:
            return entry.is_gone(alive_images)
        case Which.STALE:
            return not entry.is_current
