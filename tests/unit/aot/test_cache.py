"""The cache: whole artefacts or none, found again without reading, and never for another file."""

import os
import time
from pathlib import Path

import pytest

from shim.aot import marks
from shim.aot.cache import Artefact, Cache
from shim.errdefs import UnavailableError
from shim.wasm.binary import Kind

DIGEST = "ab" * 32
IMAGE = f"sha256:{'1' * 64}"
LATER_NS = 3_000_000_000


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 20, "key")


@pytest.fixture(name="module")
def _module(tmp_path: Path) -> Path:
    module = tmp_path / "app.wasm"
    module.write_bytes(b"\0asm\1\0\0\0")
    return module


def store(cache: Cache, image: str | None = None) -> Artefact:
    with cache.writing(DIGEST) as writer:
        return writer.finish(Kind.MODULE, bytes(10), 8, image)


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


def test_artefact_is_described(cache: Cache) -> None:
    described = cache.describe(store(cache, IMAGE))
    assert described is not None
    assert (described.kind, described.size, described.module_size) == (Kind.MODULE, 10, 8)
    assert described.images == (IMAGE,)
    assert abs(described.created - time.time()) < 60


def test_find_keeps_the_files_offset(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    with module.open("rb") as file:
        file.seek(3)
        cache.find(file.fileno(), "image")
        assert file.tell() == 3


def test_memo_is_per_image(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    assert find(cache, module, "another image") is None


def test_digest_is_looked_up_per_image(cache: Cache) -> None:
    artefact = store(cache, IMAGE)
    assert cache.lookup(DIGEST, IMAGE) == artefact
    assert cache.lookup(DIGEST, "sha256:another") is None
    with cache.writing(DIGEST) as writer:
        assert writer.verify("sha256:another") == artefact
    assert cache.lookup(DIGEST, "sha256:another") == artefact
    described = cache.describe(artefact)
    assert described is not None
    assert described.images == (IMAGE, "sha256:another")


def test_memo_is_per_compatibility_key(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    other = Cache(cache.directory, 1 << 20, "another wasmtime")
    assert find(other, module) is None
    assert other.lookup(DIGEST) is None


def test_mark_is_per_boot(cache: Cache, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(cache, module, store(cache))
    monkeypatch.setattr(marks, "boot_id", lambda: "the next one")
    rebooted = Cache(cache.directory, 1 << 20, "key")
    assert find(rebooted, module) is None
    assert rebooted.lookup(DIGEST) is None


def test_changed_file_is_not_found(cache: Cache, module: Path) -> None:
    remember(cache, module, store(cache))
    status = module.stat()
    module.write_bytes(b"\0asm\2\0\0\0")
    # whoever sets the time back cannot set back the inode's
    os.utime(module, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert find(cache, module) is None


@pytest.mark.parametrize("change", ["one byte", "truncated", "replaced", "touched", "link"])
def test_changed_artefact_is_not_found(cache: Cache, module: Path, change: str) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    times = artefact.path.stat().st_atime_ns, artefact.path.stat().st_mtime_ns
    if change == "one byte":
        with artefact.path.open("r+b") as file:
            file.seek(5)
            file.write(b"\1")
    elif change == "truncated":
        os.truncate(artefact.path, 9)
    elif change in {"replaced", "link"}:
        copy = artefact.path.with_suffix(".copy")
        copy.write_bytes(artefact.path.read_bytes())
        artefact.path.unlink()
        copy.rename(artefact.path) if change == "replaced" else artefact.path.symlink_to(copy)
    os.utime(artefact.path, ns=times)
    assert find(cache, module) is None
    assert cache.lookup(DIGEST) is None


def test_mark_that_is_none_is_a_miss(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    for mark in (artefact.path.parent / "memo").iterdir():
        mark.unlink()
        mark.symlink_to("nonsense")
    assert find(cache, module) is None
    for mark in (artefact.path.parent / "memo").iterdir():
        mark.unlink()
        mark.touch()
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


def test_mark_without_artefact_is_a_miss(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    cache.drop(artefact)
    cache.drop(artefact)
    assert find(cache, module) is None
    assert cache.lookup(DIGEST) is None
    assert cache.describe(artefact) is None


def test_find_counts_as_use(cache: Cache, module: Path) -> None:
    artefact = store(cache)
    remember(cache, module, artefact)
    described = artefact.path.with_suffix(".json")
    os.utime(described, (1, 1))
    find(cache, module)
    assert described.stat().st_mtime > time.time() - 60
    os.utime(described, (1, 1))
    cache.lookup(DIGEST)
    assert described.stat().st_mtime > time.time() - 60


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
