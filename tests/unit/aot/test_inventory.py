"""Clearing the cache by hand: all of it, what is gone, what is stale."""

import os
from pathlib import Path

import pytest

from shim.aot.cache import Cache
from shim.aot.inventory import Which, list_entries, prune
from shim.wasm.binary import Kind

NAMES = {"1": "alive", "2": "gone", "3": None}


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache", 1 << 20, "key")
    old = Cache(tmp_path / "cache", 1 << 20, "old wasmtime")
    for name, image in NAMES.items():
        store(cache, name, image)
    store(old, "4", "alive")
    with cache.layers.unpacking("5" * 64, "gone") as writer:
        assert writer is not None
        writer.finish(1)
    return cache


def store(cache: Cache, name: str, image: str | None) -> None:
    with cache.writing(name * 64) as writer:
        artefact = writer.finish(Kind.MODULE, b"code", 8, image)
    os.utime(artefact.path.with_suffix(".json"), ns=(0, int(name)))


@pytest.mark.parametrize(
    ("which", "alive", "removed"),
    [
        (Which.ALL, None, "12345"),
        (Which.GONE, {"alive"}, "25"),
        (Which.GONE, set(), "1245"),
        (Which.GONE, None, ""),
        (Which.STALE, None, "4"),
    ],
)
def test_prune_removes_what_is_named(
    cache: Cache, which: Which, alive: set[str] | None, removed: str
) -> None:
    assert "".join(sorted(e.digest[0] for e in prune(cache, which, alive))) == removed
    left = "".join(sorted(e.digest[0] for e in list_entries(cache)))
    assert left == "".join(sorted(set("12345") - set(removed)))


def test_prune_spares_what_was_used_since(cache: Cache) -> None:
    assert [e.digest[0] for e in prune(cache, Which.GONE, set(), unused_since_ns=2)] == ["1"]


def test_prune_spares_a_layer_in_use(cache: Cache) -> None:
    fd = cache.layers.hold("5" * 64)
    assert fd is not None
    assert "5" not in {e.digest[0] for e in prune(cache, Which.ALL)}
    os.close(fd)
    assert [e.digest[0] for e in prune(cache, Which.ALL)] == ["5"]
    assert list(cache.layers.directory.iterdir()) == []
