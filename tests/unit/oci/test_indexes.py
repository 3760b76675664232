"""From a target to the manifest that is meant."""

import pytest

from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.oci.descriptors import Descriptor
from shim.oci.indexes import MAX_DEPTH, MAX_DOCUMENTS, find_manifest
from tests.unit.oci.artifacts import (
    CNCF_CONFIG,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    OCI_TAR,
    WASM,
    Documents,
    Json,
    digest_of,
    index,
    layer,
    manifest,
)


@pytest.fixture
def documents() -> Documents:
    return Documents()


def wasm(documents: Documents, name: str = "x", **platform: str) -> Json:
    entry = documents.add(manifest(CNCF_CONFIG, [layer(WASM, name)]), OCI_MANIFEST)
    return entry | ({"platform": platform} if platform else {})


def linux(documents: Documents) -> Json:
    entry = documents.add(manifest(OCI_CONFIG, [layer(OCI_TAR)]), OCI_MANIFEST)
    return entry | {"platform": {"os": "linux", "architecture": "amd64"}}


def found(documents: Documents, entries: list[Json]) -> str | None:
    result = find_manifest(documents.target(index(entries), OCI_INDEX), documents.read)
    return result[0] if result else None


def test_target_that_is_a_manifest_is_taken(documents: Documents) -> None:
    target = documents.target(manifest(OCI_CONFIG, [layer(OCI_TAR)]))
    result = find_manifest(target, documents.read)
    assert result is not None
    assert result[0] == target.digest


@pytest.mark.parametrize("os", ["wasi", "wasip1", "wasip2", "Wasip1", "linux"])
@pytest.mark.parametrize("architecture", ["wasm", "WASM", "wasm32"])
def test_wasm_platform_is_chosen(documents: Documents, os: str, architecture: str) -> None:
    entry = wasm(documents, os=os, architecture=architecture)
    assert found(documents, [linux(documents), entry]) == entry["digest"]


def test_first_of_several_wasm_platforms(documents: Documents) -> None:
    entries = [wasm(documents, name, os=name, architecture="wasm") for name in ("wasip2", "wasip1")]
    assert found(documents, entries) == entries[0]["digest"]
    assert len(documents.read_digests) == 2


def test_index_without_wasm_is_containerds(documents: Documents) -> None:
    assert found(documents, [linux(documents)]) is None
    assert found(documents, []) is None
    assert len(documents.read_digests) == 2, "what has another platform is not even read"


def test_entry_without_a_platform_may_say_otherwise_that_it_is_wasm(documents: Documents) -> None:
    attestation = documents.add(manifest(OCI_CONFIG, [layer("text/plain")]), OCI_MANIFEST)
    entry = wasm(documents)
    assert found(documents, [attestation, entry]) == entry["digest"]


def test_entry_that_was_not_pulled_was_not_meant(documents: Documents) -> None:
    lost = layer(OCI_MANIFEST, "lost", platform={"os": "wasi", "architecture": "wasm"})
    assert found(documents, [lost, linux(documents)]) is None
    entry = wasm(documents, os="wasip1", architecture="wasm")
    assert found(documents, [lost, entry]) == entry["digest"]
    with pytest.raises(NotFoundError):
        find_manifest(Descriptor(OCI_INDEX, digest_of(b"lost"), 4), documents.read)


def test_index_in_an_index(documents: Documents) -> None:
    entry = wasm(documents, os="wasi", architecture="wasm")
    nested = documents.add(index([entry]), OCI_INDEX)
    assert found(documents, [linux(documents), nested]) == entry["digest"]


def test_depth_is_bounded(documents: Documents) -> None:
    entry = wasm(documents, os="wasi", architecture="wasm")
    digest = entry["digest"]
    for _ in range(MAX_DEPTH - 1):
        entry = documents.add(index([entry]), OCI_INDEX)
    assert found(documents, [entry]) == digest
    deeper = documents.add(index([entry]), OCI_INDEX)
    with pytest.raises(InvalidArgumentError, match="does an index name itself"):
        found(documents, [deeper])


def test_index_that_names_itself() -> None:
    name = digest_of(b"whatever a dishonest store says")
    target = Descriptor(OCI_INDEX, name, 1)
    document = f'{{"manifests": [{{"mediaType": "{OCI_INDEX}", "digest": "{name}", "size": 1}}]}}'
    with pytest.raises(InvalidArgumentError, match=f"{name}.*does an index name itself"):
        find_manifest(target, lambda _: document.encode())


def test_number_of_documents_is_bounded(documents: Documents) -> None:
    plain = [
        documents.add(manifest(OCI_CONFIG, [layer(OCI_TAR, str(number))]), OCI_MANIFEST)
        for number in range(MAX_DOCUMENTS)
    ]
    with pytest.raises(InvalidArgumentError, match=f"more than {MAX_DOCUMENTS} documents"):
        found(documents, plain)


def test_document_of_too_many_bytes_is_not_read(documents: Documents) -> None:
    target = Descriptor(OCI_MANIFEST, digest_of(b""), 5 << 20)
    with pytest.raises(InvalidArgumentError, match="5242880 bytes"):
        find_manifest(target, documents.read)
    assert documents.read_digests == []
