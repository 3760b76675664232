from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, NotFoundError, ResourceExhaustedError
from shim.images.closure import blobs_of, closure
from shim.images.documents import descriptor_json, encode
from shim.images.pack import Module, Settings, pack_artifact, pack_image
from shim.images.store import Store
from shim.oci.descriptors import Descriptor, Manifest
from shim.oci.media_types import OCI_INDEX

WASM = b"\0asm\1\0\0\0"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


def index(store: Store, *entries: Descriptor) -> Descriptor:
    document = encode({"schemaVersion": 2, "manifests": [descriptor_json(e) for e in entries]})
    return Descriptor(OCI_INDEX, store.add(document), len(document))


def test_image_is_its_manifest_its_config_and_its_layers(store: Store) -> None:
    target = pack_artifact(store, [Module("a.wasm", WASM)], [], Settings())
    manifests, blobs = closure(store, target)
    assert manifests == [target]
    assert [blob.media_type for blob in blobs] == [
        "application/vnd.wasm.config.v0+json",
        "application/wasm",
    ]


def test_index_brings_its_entries_along_once(store: Store) -> None:
    module = Module("a.wasm", WASM)
    first = pack_artifact(store, [module], [], Settings())
    second = pack_image(store, [module], [], Settings())
    inner = index(store, second, first)
    target = index(store, first, inner)
    manifests, blobs = closure(store, target)
    assert manifests == [target, first, inner, second]
    assert len({blob.digest for blob in blobs}) == len(blobs) == 4


def test_entries_that_are_not_here_count_only_for_the_whole(store: Store) -> None:
    here = pack_artifact(store, [Module("a.wasm", WASM)], [], Settings())
    target = index(store, here, Descriptor(here.media_type, "sha256:" + "0" * 64, 10))
    assert closure(store, target, whole=False)[0] == [target, here]
    with pytest.raises(NotFoundError, match="sha256:000"):
        closure(store, target)


def test_missing_blob_is_an_error(store: Store) -> None:
    target = pack_artifact(store, [Module("a.wasm", WASM)], [], Settings())
    store.path(closure(store, target)[1][1].digest).unlink()
    with pytest.raises(NotFoundError, match="pull the image again"):
        closure(store, target, whole=False)


def test_blobs_are_bounded() -> None:
    blob = Descriptor("t", "sha256:" + "0" * 64, 1)
    assert blobs_of(Manifest(blob, (blob, blob)), "x") == [blob]
    with pytest.raises(InvalidArgumentError, match="501 layers, and 500"):
        blobs_of(Manifest(blob, (blob,) * 501), "x")
    with pytest.raises(ResourceExhaustedError, match="are the most"):
        blobs_of(Manifest(Descriptor("t", blob.digest, 1 << 40), ()), "x")
