"""What lies in the cache is believed when it is what was written there, whole, and never else."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.aot.cache import Artefact, Cache
from shim.aot.writer import mark_of_digest
from shim.wasm.binary import Kind

DIGEST = "ab" * 32
CODE = bytes(range(256)) * 64
IMAGE = f"sha256:{'1' * 64}"


class Killed(BaseException):
    """Stands for SIGKILL: nobody cleans up after it."""


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 20, "key")


def store(cache: Cache) -> Artefact:
    with cache.writing(DIGEST) as writer:
        return writer.finish(Kind.MODULE, CODE, 8, IMAGE)


def forget(cache: Cache) -> None:
    """As a new boot does."""
    for mark in (cache.artefacts / "memo").iterdir():
        mark.unlink()


def verify(cache: Cache) -> tuple[Artefact | None, list[str]]:
    with cache.writing(DIGEST) as writer:
        return writer.verify(None), writer.removed


def test_whole_artefact_is_believed_and_marked(cache: Cache) -> None:
    artefact = store(cache)
    forget(cache)
    assert cache.lookup(DIGEST) is None
    assert verify(cache) == (artefact, [])
    assert cache.lookup(DIGEST) == artefact
    assert cache.lookup(DIGEST, IMAGE) is None


def test_nothing_is_nothing(cache: Cache) -> None:
    assert verify(cache) == (None, [])


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(len(CODE) // 2)
        byte = file.read(1)[0]
        file.seek(len(CODE) // 2)
        file.write(bytes([byte ^ 1]))


def plant_component(path: Path) -> None:
    path.rename(path.with_suffix(".component"))


def plant_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


def plant_link(path: Path) -> None:
    elsewhere = path.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def plant_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (flip, "not those that were written"),
        (lambda path: os.truncate(path, 100), "a module of 100 bytes"),
        (lambda path: os.truncate(path, 0), "a module of 0 bytes"),
        (lambda path: path.write_bytes(b"\x7fELF" + CODE), f"module of {len(CODE) + 4} bytes"),
        (lambda path: path.chmod(0o666), "others may write"),
        (lambda path: path.with_suffix(".json").unlink(), "no description"),
        (lambda path: path.with_suffix(".json").write_bytes(b"{"), "no description"),
        (lambda path: path.with_suffix(".json").write_bytes(b"[" * 100_000), "no description"),
        (lambda path: path.with_suffix(".json").write_bytes(b'{"kind": 1}'), "no description"),
        (plant_component, "its description says"),
        (plant_directory, "no file of ours"),
        (plant_link, "cannot be read"),
        (plant_fifo, "no file of ours"),
        pytest.param(
            lambda path: os.chown(path, 12345, 0), "no file of ours", marks=pytest.mark.root
        ),
    ],
)
def test_what_is_not_what_was_written_is_removed(
    cache: Cache, spoil: Callable[[Path], None], reason: str
) -> None:
    artefact = store(cache)
    spoil(artefact.path)
    found, removed = verify(cache)
    assert found is None
    (text,) = removed
    assert text.startswith(f"{cache.artefacts}/{DIGEST}.")
    assert reason in text
    left = {path.name for path in cache.artefacts.iterdir()} - {"memo", "elsewhere"}
    assert left == set()
    assert store(cache) == artefact
    assert verify(cache) == (artefact, [])


def test_foreign_artefact_beside_ours_goes_alone(cache: Cache) -> None:
    artefact = store(cache)
    foreign = artefact.path.with_suffix(".component")
    foreign.write_bytes(b"native code of somebody else")
    found, removed = verify(cache)
    assert found == artefact
    assert [text.partition(":")[0] for text in removed] == [str(foreign)]
    assert not foreign.exists()


def test_artefact_of_another_module_is_not_believed(cache: Cache) -> None:
    artefact = store(cache)
    with cache.writing("cd" * 32) as writer:
        other = writer.finish(Kind.MODULE, CODE[::-1], 8, None)
    artefact.path.write_bytes(other.path.read_bytes())
    assert verify(cache)[0] is None


def test_marks_of_images_differ() -> None:
    names = {mark_of_digest(DIGEST, image) for image in (None, "a", "b", "../../x")}
    assert len(names) == 4
    assert all("/" not in name for name in names)


# Everything by which a writer changes the file system.
STEPS = ("write", "ftruncate", "fsync", "rename", "symlink")


def test_death_between_any_two_steps_leaves_an_entry_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every prefix of the steps of `finish`, with nobody to clean up after the last."""
    survived = []
    for steps in range(100):
        cache = Cache(tmp_path / str(steps), 1 << 20, "key")
        with monkeypatch.context() as patch:
            left = die_after(steps, patch)
            # the partial file stays, as SIGKILL leaves it, and its lock is gone
            patch.setattr(Path, "unlink", lambda *_, **__: None)
            with contextlib.suppress(Killed):
                store(cache)
        found = cache.lookup(DIGEST)
        verified, removed = verify(cache)
        if verified:
            assert verified.path.read_bytes() == CODE
            survived.append(steps)
        # nothing that was ever half there under a name is worth a line in the log
        assert removed == []
        assert found in {None, verified}
        assert store(cache).path.read_bytes() == CODE
        if left():
            break
    assert steps > 8
    assert survived == list(range(survived[0], steps + 1))


def die_after(steps: int, patch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Die in place of step number `steps`; the result tells how many were not needed."""
    left = [steps]

    def count(real: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **keywords: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*args, **keywords)

        return step

    for name in STEPS:
        patch.setattr(os, name, count(getattr(os, name)))
    return lambda: left[0]
