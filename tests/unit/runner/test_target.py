"""What a target names: a file, one of its functions, the one module of a directory."""

import os
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.runner.target import only_module, open_module, split_function

MODULE = b"\0asm\1\0\0\0"


def test_function(tmp_path: Path) -> None:
    assert split_function("a.wasm") == ("a.wasm", "")
    assert split_function("a.wasm#f") == ("a.wasm", "f")
    path = tmp_path / "a#b"
    path.touch()
    assert split_function(str(path)) == (str(path), "")


def test_module(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(MODULE)
    wasm = open_module(str(path), "")
    try:
        assert (os.pread(wasm.fd, 99, 0), wasm.function) == (MODULE, None)
    finally:
        os.close(wasm.fd)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\0asm", "begins with 00 61 73 6d;"),
        (b"\x7fELF", "is a Linux program"),
        (b"#!/bin/sh", "is a script for Linux"),
    ],
)
def test_no_module(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "m"
    path.write_bytes(content)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(InvalidArgumentError, match=said):
        open_module(str(path), "")
    assert os.listdir("/proc/self/fd") == before


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="none: no such file"):
        open_module(str(tmp_path / "none"), "")
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        with pytest.raises(InvalidArgumentError, match="neither a file nor a directory"):
            open_module(str(tmp_path / name), "")


def test_only_module(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="holds none: choose with --entrypoint"):
        only_module(str(tmp_path))
    (tmp_path / "a.wat").touch()
    (tmp_path / "data").touch()
    assert only_module(str(tmp_path)) == "/a.wat"
    (tmp_path / "b.wasm").touch()
    with pytest.raises(InvalidArgumentError, match=r"several \(a.wat, b.wasm\)"):
        only_module(str(tmp_path))
