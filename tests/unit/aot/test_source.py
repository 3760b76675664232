"""A file as a loader's source: what it is when it is read, and what may be remembered of it."""

import os
from pathlib import Path

import pytest

from shim.aot.cache import Cache
from shim.aot.entry import Artefact
from shim.aot.source import FileSource, Loaded
from shim.errdefs import InvalidArgumentError, ResourceExhaustedError
from shim.wasm.binary import Kind

DIGEST = "ab" * 32
MODULE = b"\0asm\1\0\0\0"


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 20, "key")


@pytest.fixture(name="module")
def _module(tmp_path: Path) -> Path:
    module = tmp_path / "app.wasm"
    module.write_bytes(MODULE)
    return module


@pytest.fixture(name="artefact")
def _artefact(cache: Cache) -> Artefact:
    with cache.writing(DIGEST) as writer:
        return writer.finish(Kind.MODULE, b"code", len(MODULE), None)


def test_file_is_read_whole_and_keeps_its_offset(module: Path) -> None:
    with module.open("rb") as file:
        file.seek(3)
        source = FileSource(file.fileno(), "image")
        source.prepare()
        assert source.read(len(MODULE)) == MODULE
        assert file.tell() == 3
        assert source.kept_fds == (file.fileno(),)
    assert source.digest is None
    assert source.image is None
    assert source.facts() == {}


def test_file_of_an_image_knows_it_once_it_is_prepared(module: Path) -> None:
    with module.open("rb") as file:
        source = FileSource(file.fileno(), "image", lambda: "sha256:1")
        assert source.image is None
        source.prepare()
        assert source.image == "sha256:1"


def test_file_larger_than_the_limit_is_not_read(module: Path) -> None:
    with module.open("rb") as file:
        source = FileSource(file.fileno(), "image")
        source.prepare()
        with pytest.raises(ResourceExhaustedError, match="the module has 8 bytes"):
            source.read(len(MODULE) - 1)


def test_file_that_shrinks_is_refused(module: Path) -> None:
    with module.open("rb") as file:
        source = FileSource(file.fileno(), "image")
        source.prepare()
        os.truncate(module, 3)
        with pytest.raises(InvalidArgumentError, match="changed its size"):
            source.read(len(MODULE))


@pytest.mark.parametrize("changes", [False, True])
def test_file_is_remembered_unless_it_changes(
    module: Path,
    cache: Cache,
    artefact: Artefact,
    monkeypatch: pytest.MonkeyPatch,
    changes: bool,
) -> None:
    later_ns = module.stat().st_ctime_ns + 3_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: later_ns)
    with module.open("rb") as file:
        source = FileSource(file.fileno(), "image")
        assert source.find(cache) is None
        source.prepare()
        if changes:
            module.chmod(0o600)
        source.remember(cache, artefact)
        assert source.find(cache) == (None if changes else Loaded(artefact, {}))
