"""Manifests and indexes, honest and not."""

import contextlib
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.oci.descriptors import (
    MAX_MANIFEST_BYTES,
    Platform,
    check_digest,
    parse_digest,
    parse_index,
    parse_manifest,
)
from tests.unit.oci.artifacts import CNCF_CONFIG, OCI_INDEX, WASM, index, layer, manifest

MANIFEST = manifest(CNCF_CONFIG, [layer(WASM, title="a.wasm")])


def test_manifest() -> None:
    more = {"artifactType": WASM, "annotations": {"a": "b"}, "unknown": [1]}
    found = parse_manifest(json.dumps(MANIFEST | more).encode())
    assert found.config.media_type == CNCF_CONFIG
    (only,) = found.layers
    assert (only.media_type, only.size, only.title) == (WASM, 1, "a.wasm")
    assert (found.artifact_type, found.annotations) == (WASM, {"a": "b"})


def test_index() -> None:
    entry = layer(WASM, platform={"os": "Wasip1", "architecture": "WASM"})
    found = parse_index(json.dumps(index([entry])).encode())
    assert found.manifests[0].platform == Platform("wasip1", "wasm")


def with_layer(**members: Any) -> bytes:
    return json.dumps(manifest(CNCF_CONFIG, [layer(WASM) | members])).encode()


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not an object"),
        (b"\xff\xfe\xfd", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b'{"schemaVersion": %s}' % (b"9" * 5000), "not valid JSON"),
        (b'{"schemaVersion": 1}', "schema version 1"),
        (b'{"layers": [], "layers": []}', "a member twice"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "4194305 bytes"),
        (b"{}", r"config\.size is missing"),
        (json.dumps(MANIFEST | {"manifests": []}).encode(), "an index as well"),
        (json.dumps(MANIFEST | {"mediaType": OCI_INDEX}).encode(), "calls itself so"),
        (with_layer(size=-1), "negative"),
        (with_layer(size=1.5), "size is not an int"),
        (with_layer(size=True), "size is not an int"),
        (with_layer(size=1 << 63), "too large"),
        (with_layer(size=1 << 70), "64 bits"),
        (with_layer(digest=""), "neither sha256"),
        (with_layer(digest="sha256:" + "A" * 64), "neither sha256"),
        (with_layer(digest="sha256:../../../etc/passwd"), "neither sha256"),
        (with_layer(digest="md5:" + "a" * 32), "neither sha256"),
        (with_layer(mediaType="m" * 256), "more than 255"),
        (with_layer(annotations={"a": 1}), "not a str"),
        (with_layer(annotations=[]), "not a dict"),
    ],
)
def test_manifest_that_is_refused(document: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        parse_manifest(document)


@pytest.mark.parametrize("document", [MANIFEST, {"config": {}}, {"layers": []}])
def test_manifest_is_no_index(document: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="manifest as well"):
        parse_index(json.dumps(document).encode())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_digests(algorithm: str) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, b'data').hexdigest()}"
    assert parse_digest(digest)[0] == algorithm
    check_digest(digest, b"data")
    with pytest.raises(InvalidArgumentError, match="has the digest"):
        check_digest(digest, b"other")
    with pytest.raises(InvalidArgumentError, match="neither"):
        parse_digest(digest + "\n")


@given(st.binary())
def test_any_bytes(document: bytes) -> None:
    for parse in (parse_manifest, parse_index):
        with contextlib.suppress(InvalidArgumentError):
            parse(document)
