import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.cli.runnable import Runnable, find_runnable
from shim.errdefs import InvalidArgumentError
from shim.images.pack import Module, Settings, pack_artifact, pack_image
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.images.tar_layer import Addition

WASM = b"\0asm\1\0\0\0"
NAME = "registry.example/a:1"
FILE = Addition("/etc/motto", b"two under one yoke")


@pytest.fixture(autouse=True)
def _no_descriptor_stays() -> Iterator[None]:
    """What a run holds until its process ends is let go here."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    for fd in set(os.listdir("/proc/self/fd")) - before:
        try:
            os.close(int(fd))
        except OSError:
            continue


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    config = tmp_path / "config.toml"
    config.write_text(
        f'[images]\ndirectory = "{tmp_path}/images"\n[cache]\ndirectory = "{tmp_path}/cache"\n'
    )
    monkeypatch.setenv("TANDEM_CONFIG", str(config))
    return Store(tmp_path / "images")


def find(name: str = NAME, *args: str, entrypoint: str = "") -> Runnable:
    found = find_runnable(name, args, entrypoint)
    assert found
    return found


def read(found: Runnable, path: str) -> bytes:
    [layer] = found.layers
    return (Path(layer) / path).read_bytes()


def test_artifact_is_its_modules_file(store: Store) -> None:
    target = pack_artifact(store, [Module("app.wasm", WASM)], [], Settings())
    store.tag(parse_reference(NAME), target)
    found = find(NAME, "a", "b")
    assert Path(found.module).read_bytes() == WASM
    assert (found.name, found.args, found.layers) == ("app.wasm", ("a", "b"), ())


def test_files_beside_a_module_are_unpacked_once(store: Store) -> None:
    target = pack_artifact(store, [Module("app.wasm", WASM)], [FILE], Settings())
    store.tag(parse_reference(NAME), target)
    found = find()
    assert read(found, "etc/motto") == b"two under one yoke"
    assert find() == found


def test_one_of_several_modules_is_chosen(store: Store) -> None:
    modules = [Module("a.wasm", WASM), Module("b.wasm", WASM + b"\0\1\0")]
    store.tag(parse_reference(NAME), pack_artifact(store, modules, [], Settings()))
    assert find(entrypoint="b.wasm").name == "b.wasm"
    assert find(entrypoint="b.wasm#f").function == "f"
    with pytest.raises(InvalidArgumentError, match=r"a\.wasm"):
        find()


def test_image_has_an_entry_point_in_its_files(store: Store) -> None:
    settings = Settings(entrypoint=("/app.wasm", "--verbose"), env=("A=1",))
    target = pack_image(store, [Module("app.wasm", WASM)], [FILE], settings)
    store.tag(parse_reference(NAME), target)
    found = find(NAME, "x")
    assert (found.module, found.entrypoint, found.args) == ("", "/app.wasm", ("--verbose", "x"))
    assert (found.env, found.workdir) == (("A=1",), "/")
    assert read(found, "app.wasm") == WASM
    assert read(found, "etc/motto") == b"two under one yoke"
    assert find(entrypoint="/other").entrypoint == "/other"


@pytest.mark.parametrize("name", ["app.wasm", "./app.wasm", "registry.example/other:1", ""])
def test_what_names_no_image_here_is_none(store: Store, name: str) -> None:
    assert find_runnable(name, (), "") is None
