"""What has to go, in which order, and what never does."""

import os
from pathlib import Path

import pytest

from shim.aot.cache import Artefact, Cache
from shim.aot.eviction import Entry, choose, evict, list_entries
from shim.engine.code import Code
from shim.wasm.binary import Kind

MODULE = 10_000


def entry(name: str, used_ns: int, size: int = 10, images: tuple[str, ...] = ()) -> Entry:
    return Entry(Path(name), "module", name, size, 1, images, used_ns, is_current=True)


def chosen(entries: list[Entry], alive: set[str] | None, fits: int, *keep: str) -> str:
    return "".join(e.digest for e in choose(entries, alive, fits, {Path(name) for name in keep}))


def test_least_recently_used_goes_first() -> None:
    entries = [entry("a", 3), entry("b", 1), entry("c", 2)]
    assert chosen(entries, None, 30) == ""
    assert chosen(entries, None, 29) == "b"
    assert chosen(entries, None, 20) == "b"
    assert chosen(entries, None, 0) == "bca"
    assert chosen(entries, None, 0, "c") == "ba"


def test_what_images_left_behind_goes_before() -> None:
    entries = [
        entry("a", 1),
        entry("b", 2, images=("alive",)),
        entry("c", 3, images=("alive", "gone")),
        entry("d", 4, images=("gone", "gone too")),
        entry("e", 5, images=("gone",)),
    ]
    assert chosen(entries, {"alive"}, 0) == "deabc"
    assert chosen(entries, {"alive"}, 40) == "d"
    assert chosen(entries, set(), 0) == "bcdea"
    assert chosen(entries, None, 0) == "abcde"


def test_gone_is_who_had_images() -> None:
    assert not entry("a", 1).is_gone(set())
    assert not entry("a", 1, images=("x",)).is_gone(None)
    assert entry("a", 1, images=("x",)).is_gone({"y"})
    assert not entry("a", 1, images=("x", "y")).is_gone({"y"})


def store(cache: Cache, number: int, used_s: int, image: str | None = None) -> Artefact:
    with cache.writing(f"{number}" * 64) as writer:
        artefact = writer.finish(Kind.MODULE, bytes(MODULE), 8, image)
    os.utime(artefact.path.with_suffix(".json"), (used_s, used_s))
    return artefact


def unpack(cache: Cache, number: int, used_s: int) -> Path:
    digest = f"{number}" * 64
    with cache.layers.unpacking(digest, None) as writer:
        assert writer is not None
        writer.finish(MODULE)
    os.utime(cache.layers.directory / f"{digest}.json", (used_s, used_s))
    return cache.layers.path(digest)


def test_cache_shrinks_over_all_keys_and_layers(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 3 * 12_288, "key")
    old = Cache(tmp_path / "cache", 1, "old wasmtime")
    paths = [store(old, 0, 1).path, store(cache, 1, 4).path, store(cache, 2, 3).path]
    paths += [unpack(cache, 3, 2), unpack(cache, 4, 6)]
    evict(cache, keep=store(cache, 5, 5))
    assert [path.exists() for path in paths] == [False, True, False, False, True]
    assert {e.path for e in list_entries(cache) if not e.is_current} == set()


def test_held_layer_stays_and_another_thing_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2 * 12_288, "key")
    layer, artefact = unpack(cache, 1, 1), store(cache, 2, 2)
    fd = cache.layers.hold("1" * 64)
    assert fd is not None
    os.utime(cache.layers.directory / f"{'1' * 64}.json", (1, 1))
    evict(cache, keep=store(cache, 3, 3))
    assert layer.is_dir()
    assert not artefact.path.exists()
    os.close(fd)


def test_what_was_just_made_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1, "key")
    artefact = store(cache, 1, 1)
    evict(cache, keep=artefact)
    assert artefact.path.exists()


def test_images_are_asked_for_when_something_must_go(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2 * 12_288, "key")
    first, second = store(cache, 1, 1, "alive"), store(cache, 2, 2, "gone")
    asked = []

    def ask() -> set[str]:
        asked.append(True)
        return {"alive"}

    evict(cache, first, ask)
    assert asked == []
    evict(cache, store(cache, 3, 3, "alive"), ask)
    assert asked == [True]
    assert (first.path.exists(), second.path.exists()) == (True, False)


def test_entries_say_what_is_known(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1 << 20, "key")
    artefact = store(cache, 1, 5, "sha256:1")
    old = store(Cache(tmp_path / "cache", 1 << 20, "old"), 2, 6)
    old.path.with_suffix(".json").unlink()
    layer = unpack(cache, 3, 7)
    found = {e.digest[0]: e for e in list_entries(cache)}
    size = artefact.path.stat().st_blocks * 512
    at_s = 1_000_000_000
    assert found == {
        "1": Entry(
            artefact.path, "module", "1" * 64, size, 8, ("sha256:1",), 5 * at_s, is_current=True
        ),
        "2": Entry(old.path, "module", "2" * 64, size, 0, (), 0, is_current=False),
        "3": Entry(layer, "layer", "3" * 64, MODULE, 0, (), 7 * at_s, is_current=True),
    }


def test_debris_of_dead_loaders_goes(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1 << 20, "key")
    artefact = store(cache, 1, 1)
    folder = artefact.path.parent
    digest = "c" * 64
    for name in (f"{digest}.partial", f"{digest}.json", f"{digest}.json.partial"):
        (folder / name).write_bytes(b"half")
    memo = folder / "memo"
    marks = {path.name for path in memo.iterdir()}
    (mark,) = marks
    boot = mark.split(".")[0]
    (memo / f"{boot}.1.2.partial").symlink_to(f"{artefact.path.name} 1 2 3")
    (memo / f"{boot}.dangling").symlink_to(f"{'d' * 64}.module 1 2 3")
    (memo / f"other{mark}").symlink_to(f"{artefact.path.name} 1 2 3")
    (memo / f"{boot}.file").touch()
    with cache.writing("e" * 64):
        # as its writer leaves it before the last step
        (folder / f"{'e' * 64}.json").touch()
        evict(cache, keep=artefact)
        left = {path.name for path in folder.iterdir()} - {"memo"}
    assert {path.name for path in memo.iterdir()} == marks
    assert left == {
        artefact.path.name,
        f"{'1' * 64}.json",
        f"{'e' * 64}.partial",
        f"{'e' * 64}.json",
    }
    assert cache.lookup("1" * 64) == artefact


@pytest.mark.parametrize("code", [code for code in Code if code.suffix])
def test_artefacts_of_other_code_are_others_of_the_same_cache(tmp_path: Path, code: Code) -> None:
    cache = Cache(tmp_path / "cache", 1 << 30, "key")
    other = cache.of(code)
    assert (cache.code, other.code, cache.of(Code.PLAIN)) == (Code.PLAIN, code, cache)
    first = store(cache, 1, 1)
    assert other.lookup(first.digest) is None
    second = store(other, 1, 2)
    found = cache.lookup(first.digest)
    assert found is not None
    assert found.path != second.path
    assert [entry.is_current for entry in list_entries(cache)] == [True, True]
    evict(Cache(tmp_path / "cache", 1, "key"), first)
    assert (first.path.exists(), second.path.exists()) == (True, False)
