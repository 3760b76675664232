"""Unpacked files: there whole or not at all, and not taken away from who holds them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from shim.content import trees as module
from shim.content.trees import Trees
from shim.errdefs import UnavailableError
from shim.oci.artifact import Contents, File
from shim.oci.descriptors import Descriptor

FILES = Contents(files=(File("etc/motd", "sha256:" + "0" * 64, content=b"hi"),))
Unpacked = list[Path]


@pytest.fixture(name="unpacked")
def _unpacked(monkeypatch: pytest.MonkeyPatch) -> Unpacked:
    done: Unpacked = []

    def unpack(
        contents: Contents, _open: Callable[[Descriptor], BinaryIO], destination: Path
    ) -> None:
        assert contents == FILES
        destination.mkdir()
        done.append(destination)

    monkeypatch.setattr(module, "unpack", unpack)
    return done


def no_blob(_descriptor: Descriptor) -> BinaryIO:
    raise AssertionError("nothing is asked for")


def test_nothing_is_always_there(tmp_path: Path, unpacked: Unpacked) -> None:
    trees = Trees(tmp_path)
    trees.make(Contents(), no_blob)
    assert trees.has(Contents())
    assert unpacked == []
    assert list(tmp_path.iterdir()) == []


def test_tree_is_unpacked_once(tmp_path: Path, unpacked: Unpacked) -> None:
    trees = Trees(tmp_path)
    assert not trees.has(FILES)
    trees.make(FILES, no_blob)
    trees.make(FILES, no_blob)
    assert trees.has(FILES)
    assert unpacked == [trees.path(FILES)]
    assert (tmp_path / "layers").stat().st_mode & 0o777 == 0o700


@pytest.mark.usefixtures("unpacked")
def test_held_tree_is_locked_against_eviction(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    trees.make(FILES, no_blob)
    held, held_twice = trees.hold(FILES), trees.hold(FILES)
    evicting = os.open(trees.path(FILES), os.O_RDONLY)
    try:
        os.close(held)
        with pytest.raises(BlockingIOError):
            fcntl.flock(evicting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(held_twice)
        fcntl.flock(evicting, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(UnavailableError, match="just been evicted; a retry"):
            trees.hold(FILES)
    finally:
        os.close(evicting)


@pytest.mark.usefixtures("unpacked")
def test_tree_that_is_gone_cannot_be_held(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    trees.make(FILES, no_blob)
    shutil.rmtree(trees.path(FILES))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(UnavailableError, match="just been evicted"):
        trees.hold(FILES)
    assert len(os.listdir("/proc/self/fd")) == before
