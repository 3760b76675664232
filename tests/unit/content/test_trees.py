"""Unpacked files: there whole or not at all, counted, and not taken away from who holds them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from shim.aot.cache import Cache
from shim.content import trees
from shim.errdefs import (
    InvalidArgumentError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.oci.artifact import Contents, File
from shim.oci.descriptors import Descriptor
from shim.unpack import tree
from shim.unpack.tree import Limits

FILES = Contents(files=(File("etc/motd", "sha256:" + "0" * 64, content=b"hi"),))
IMAGE = "sha256:" + "1" * 64
Unpacked = list[Path]


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 30, "key")


@pytest.fixture(name="unpacked")
def _unpacked(monkeypatch: pytest.MonkeyPatch) -> Unpacked:
    done: Unpacked = []

    def unpack(
        contents: Contents,
        _open: Callable[[Descriptor], BinaryIO],
        destination: Path,
        limits: Limits,
    ) -> None:
        assert contents == FILES
        assert limits.max_bytes == 1 << 28
        destination.mkdir()
        (destination / "motd").write_bytes(bytes(10000))
        done.append(destination)

    monkeypatch.setattr(tree, "unpack", unpack)
    return done


def no_blob(_descriptor: Descriptor) -> BinaryIO:
    raise AssertionError("nothing is asked for")


def test_no_files_are_always_there(cache: Cache, unpacked: Unpacked) -> None:
    assert trees.is_there(cache, Contents())
    assert trees.make(cache, Contents(), IMAGE, no_blob) is None
    assert unpacked == []


def test_files_are_unpacked_once_and_counted(cache: Cache, unpacked: Unpacked) -> None:
    assert not trees.is_there(cache, FILES)
    for _ in range(2):
        held = trees.make(cache, FILES, IMAGE, no_blob)
        assert held is not None
        os.close(held)
    assert trees.is_there(cache, FILES)
    assert len(unpacked) == 1
    facts = cache.layers.facts(FILES.key)
    assert facts is not None
    assert facts.images == (IMAGE,)
    assert 10000 <= facts.size < 40000


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InvalidArgumentError("hostile"), "hostile"),
        (ResourceExhaustedError("too much"), r"too much; .* 1/4 of \[cache\] max_bytes"),
    ],
)
def test_nothing_is_left_of_what_cannot_be_unpacked(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, error: ShimError, text: str
) -> None:
    def unpack(_contents: Contents, _open: object, destination: Path, _limits: Limits) -> None:
        destination.mkdir()
        raise error

    monkeypatch.setattr(tree, "unpack", unpack)
    with pytest.raises(type(error), match=text):
        trees.make(cache, FILES, IMAGE, no_blob)
    assert not trees.is_there(cache, FILES)
    assert list(cache.layers.directory.iterdir()) == []


@pytest.mark.usefixtures("unpacked")
def test_held_files_are_not_evicted(cache: Cache) -> None:
    held = trees.make(cache, FILES, IMAGE, no_blob)
    assert held is not None
    files = trees.open_files(held)
    assert os.listdir(f"/proc/self/fd/{files}") == ["motd"]
    assert not cache.layers.remove(FILES.key)
    os.close(files)
    os.close(held)
    assert cache.layers.remove(FILES.key)
    with pytest.raises(UnavailableError, match="just been evicted"):
        trees.hold(cache, FILES)
