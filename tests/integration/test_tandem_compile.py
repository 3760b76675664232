"""`tandem compile`: a loader of its own, the node's cache, and what `inspect` then says."""

from pathlib import Path

import pytest

from tests.support import guests
from tests.support.tandem_command import TandemCommand

pytestmark = pytest.mark.root


@pytest.fixture
def tandem(tmp_path: Path) -> TandemCommand:
    return TandemCommand(tmp_path / "node")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wasm"
    path.write_bytes(guests.binary(guests.HELLO))
    return path


def test_module_is_compiled_once_and_then_known(tandem: TandemCommand, hello: Path) -> None:
    before = tandem.must("inspect", hello, "--output", "json").json["modules"][0]
    assert before["cached"] is False
    [first] = tandem.must("compile", hello, "--output", "json").json
    assert (first["compiled"], first["kind"]) == (True, "module")
    assert first["digest"] == before["digest"]
    assert first["size"] > 1000
    [second] = tandem.must("compile", hello, "--output", "json").json
    assert second["compiled"] is False
    assert tandem.must("inspect", hello, "--output", "json").json["modules"][0]["cached"] is True


def test_every_module_of_an_image_is_compiled(
    tandem: TandemCommand, hello: Path, tmp_path: Path
) -> None:
    component = tmp_path / "component.wasm"
    component.write_bytes(guests.binary(guests.COMPONENT_OK))
    name = "registry.example/both:1"
    tandem.must("pack", hello, component, "-t", name)
    done = tandem.must("compile", name, "--output", "json").json
    assert {each["name"]: each["kind"] for each in done} == {
        "hello.wasm": "module",
        "component.wasm": "component",
    }


def test_text_and_directories_are_compiled(tandem: TandemCommand, tmp_path: Path) -> None:
    directory = tmp_path / "modules"
    directory.mkdir()
    (directory / "a.wat").write_text(guests.HELLO)
    (directory / "readme").write_text("no module")
    [done] = tandem.must("compile", directory, "--output", "json").json
    assert (done["name"], done["compiled"]) == ("a.wat", True)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\0asm\1\0\0\0\x01\xff", "wasmtime refuses the module"),
        (b"#!/bin/sh", "no Wasm"),
        (b"\x7fELF", "native code"),
    ],
)
def test_what_cannot_be_compiled_says_why(
    tandem: TandemCommand, tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "broken.wasm"
    path.write_bytes(content)
    done = tandem("compile", path)
    assert done.status == 1
    assert expected in done.err


def test_time_limit_of_the_node_holds(tandem: TandemCommand, tmp_path: Path) -> None:
    """A function of half a million additions takes far longer than a second."""
    tandem.config.write_text(tandem.config.read_text() + "[compile]\ntimeout_s = 1\n")
    body = "(local.set 0 (i32.add (local.get 0) (i32.load (local.get 0))))\n" * 300_000
    path = tmp_path / "slow.wasm"
    text = f'(module (memory 1) (func (export "_start") (local i32) {body}))'
    path.write_bytes(guests.binary(text))
    done = tandem("compile", path)
    assert done.status == 1
    assert "timeout_s" in done.err
