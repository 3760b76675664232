"""Unpacked layers: whole or none, shared, and never taken from under whoever holds one."""

import os
from pathlib import Path

import pytest

from shim.aot.cache import Cache
from shim.aot.layers import LayerFacts, Layers

DIGEST = "cd" * 32


@pytest.fixture(name="layers")
def _layers(tmp_path: Path) -> Layers:
    return Cache(tmp_path / "cache", 1 << 20, "key").layers


def unpack(layers: Layers, image: str | None = "sha256:1") -> bool:
    with layers.unpacking(DIGEST, image) as writer:
        if writer is None:
            return False
        (writer.path / "file").write_text("text")
        writer.finish(4096)
        return True


def names(layers: Layers) -> set[str]:
    return {path.name for path in layers.directory.iterdir()}


def test_layer_is_unpacked_once(layers: Layers) -> None:
    assert layers.hold(DIGEST) is None
    assert unpack(layers)
    assert not unpack(layers, "sha256:2")
    assert layers.facts(DIGEST) == LayerFacts(4096, ("sha256:1", "sha256:2"))
    assert (layers.path(DIGEST) / "file").read_text() == "text"
    assert names(layers) == {DIGEST, f"{DIGEST}.json"}


def test_layer_that_failed_leaves_nothing(layers: Layers) -> None:
    def fail() -> None:
        with layers.unpacking(DIGEST, None) as writer:
            assert writer is not None
            (writer.path / "half").touch()
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert names(layers) == set()


def test_held_layer_is_not_removed(layers: Layers) -> None:
    unpack(layers)
    held = [layers.hold(DIGEST), layers.hold(DIGEST)]
    for fd in held:
        assert fd is not None
        assert not layers.remove(DIGEST)
        os.close(fd)
    assert layers.remove(DIGEST)
    assert not layers.remove(DIGEST)
    assert names(layers) == set()


def test_holding_counts_as_use(layers: Layers) -> None:
    unpack(layers)
    described = layers.directory / f"{DIGEST}.json"
    os.utime(described, (1, 1))
    fd = layers.hold(DIGEST)
    assert fd is not None
    os.close(fd)
    assert described.stat().st_mtime > 1


def test_layer_without_description_is_whole_still(layers: Layers) -> None:
    unpack(layers)
    (layers.directory / f"{DIGEST}.json").unlink()
    assert not unpack(layers)
    fd = layers.hold(DIGEST)
    assert fd is not None
    os.close(fd)
    assert layers.facts(DIGEST) is None


def test_debris_of_the_dead_is_cleared_and_the_living_are_left(layers: Layers) -> None:
    other = "ef" * 32
    for name in (f"{DIGEST}.partial", f"{DIGEST}.17.partial"):
        (layers.directory / name).mkdir()
    (layers.directory / f"{DIGEST}.lock.partial").touch()
    (layers.directory / f"{DIGEST}.json.partial").touch()
    with layers.unpacking(other, None) as writer:
        assert writer is not None
        layers.clear_debris()
        assert names(layers) == {f"{other}.partial", f"{other}.lock.partial"}
        writer.finish(0)
    assert names(layers) == {other, f"{other}.json"}
