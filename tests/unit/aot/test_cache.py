"""The cache: whole artefacts or none, found again without reading, and never for another file."""

import os
import time
from pathlib import Path

import pytest

from shim.aot.cache import Artefact, Cache, lock_file
from shim.aot.eviction import evict
from shim.errdefs import UnavailableError
from shim.wasm.binary import Kind

DIGEST = "ab" * 32
LATER_NS = 3_000_000_000


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 20, "key")


@pytest.fixture(name="module")
def _module(tmp_path: Path) -> Path:
    module = tmp_path / "app.wasm"
    module.write_bytes(b"\0asm\1\0\0\0")
    return module


def store(cache: Cache, digest: str = DIGEST, size: int = 10) -> Artefact:
    with cache.writing(digest) as writer:
        return writer.finish(Kind.MODULE, bytes(size))


def find(cache: Cache, module: Path, identity: str = "image") -> Artefact | None:
    with module.open("rb") as file:
        return cache.find(file.fileno(), identity)


def remember(cache: Cache, module: Path, artefact: Artefact, after_ns: int = LATER_NS) -> None:
    status = module.stat()
    hashed_ns = max(status.st_mtime_ns, status.st_ctime_ns) + after_ns
    cache.remember("image", status, hashed_ns, artefact)


def test_artefact_is_found_by_digest_and_memo(cache: Cache, module: Path) -> None:
    assert cache.lookup(DIGEST) is None
    assert find(cache, module) is None
    artefact = store(cache)
    assert cache.lookup(DIGEST) == artefact
    remember(cache, module, artefact)
    assert find(cache, module) == artefact
    assert artefact.path.read_bytes() == bytes(10)
    assert artefact.path.stat().st_mode & 0o777 == 0o600


def test_find_keeps_the_files_offset(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    with module.open("rb") as file:
        file.seek(3)
        cache.find(file.fileno(), "image")
        assert file.tell() == 3


def test_memo_is_per_image(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    assert find(cache, module, "another image") is None


def test_memo_is_per_compatibility_key(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    other = Cache(cache.directory, 1 << 20, "another wasmtime")
    assert find(other, module) is None
    assert other.lookup(DIGEST) is None


def test_changed_file_is_not_found(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    status = module.stat()
    module.write_bytes(b"\0asm\2\0\0\0")
    # whoever sets the time back cannot set back the inode's
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find(cache, module) is None


def test_racily_fresh_file_is_not_remembered(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact, after_ns=1_999_999_999)
    assert find(cache, module) is None
    # its ctime may be in the future as well, where a clock was set back
    remember(cache, module, artefact, after_ns=-LATER_NS)
    assert find(cache, module) is None


def test_module_that_says_it_is_fresh_is_not_remembered(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    status = module.stat()
    hashed_ns = status.st_ctime_ns + LATER_NS
    os.utime(module, ns=(0, hashed_ns + 1))
    cache.remember("image", module.stat(), hashed_ns, artefact)
    assert find(cache, module) is None


def test_memo_without_artefact_is_a_miss(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    cache.drop(artefact)
    cache.drop(artefact)
    assert find(cache, module) is None


def test_find_counts_as_use(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    os.utime(artefact.path, (1, 1))
    find(cache, module)
    assert artefact.path.stat().st_mtime > time.time() - 60


def test_failed_writer_leaves_nothing(cache: Cache, tmp_path: Path) -> None:
    def fail() -> None:
        with cache.writing(DIGEST):
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_full_disk_is_said(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UnavailableError, match=r"No space left on device.*directory"):
        store(cache)
    assert cache.lookup(DIGEST) is None


def test_lock_follows_the_name(tmp_path: Path) -> None:
    path = tmp_path / "x.partial"
    first = lock_file(path, os.O_CREAT)
    with pytest.raises(BlockingIOError):
        lock_file(path, wait=False)
    path.rename(tmp_path / "x.module")
    second = lock_file(path, os.O_CREAT, wait=False)
    assert not os.path.samestat(os.fstat(first), os.fstat(second))
    os.close(first)
    os.close(second)


def test_eviction_removes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 25_000, "key")
    old = Cache(tmp_path / "cache", 25_000, "old wasmtime")
    artefacts = [store(old, "0" * 64, 10_000)]
    artefacts += [store(cache, f"{number}" * 64, 10_000) for number in (1, 2, 3)]
    for age, artefact in enumerate(artefacts):
        os.utime(artefact.path, (age + 1, age + 1))
    os.utime(artefacts[1].path)
    evict(cache, keep=artefacts[3])
    assert [artefact.path.exists() for artefact in artefacts] == [False, True, False, True]


def test_eviction_keeps_what_was_just_made(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1, "key")
    artefact = store(cache, size=10_000)
    evict(cache, keep=artefact)
    assert artefact.path.exists()


def test_eviction_clears_what_dead_loaders_left(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    folder = artefact.path.parent
    (folder / f"{'c' * 64}.partial").write_bytes(b"half")
    (folder / "memo" / "1.2.partial").symlink_to("../x")
    (folder / "memo" / "dangling").symlink_to(f"../{'d' * 64}.module")
    with cache.writing("e" * 64):
        evict(cache, keep=artefact)
        left = {path.name for path in folder.rglob("*")}
    memo = {path.name for path in (folder / "memo").iterdir()}
    assert len(memo) == 1
    assert left - memo == {artefact.path.name, "memo", f"{'e' * 64}.partial"}
    assert find(cache, module) == artefact
