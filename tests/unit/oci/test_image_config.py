"""Configs of images and of Wasm artifacts."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.oci.image_config import ImageConfig, parse_config


def test_config_of_an_image() -> None:
    process = {
        "Entrypoint": ["/app.wasm"],
        "Cmd": ["x"],
        "Env": ["A=1"],
        "WorkingDir": "/data",
        "User": "1000:1000",
        "Labels": {"a": "b"},
    }
    document = {"os": "Wasip1", "architecture": "WASM", "config": process, "rootfs": {}}
    assert parse_config(json.dumps(document).encode()) == ImageConfig(
        ("/app.wasm",), ("x",), ("A=1",), "/data", "1000:1000", {"a": "b"}, "wasip1", "wasm"
    )


def test_config_of_a_wasm_artifact() -> None:
    document = {"os": "wasip2", "architecture": "wasm", "layerDigests": ["x"], "component": {}}
    found = parse_config(json.dumps(document).encode())
    assert (found.os, found.architecture, found.entrypoint) == ("wasip2", "wasm", ())


@pytest.mark.parametrize("document", [b"", b"{}", b'{"config": null, "os": null}'])
def test_config_that_says_nothing(document: bytes) -> None:
    assert parse_config(document) == ImageConfig()


@pytest.mark.parametrize("document", [b"x", b"[]", b'{"config": []}', b'{"config": {"Cmd": "x"}}'])
def test_config_that_is_none(document: bytes) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_config(document)


@given(st.binary())
def test_any_bytes(document: bytes) -> None:
    with contextlib.suppress(InvalidArgumentError):
        parse_config(document)
