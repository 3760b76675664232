import json
import os
import threading
from pathlib import Path

import pytest

from shim.errdefs import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from shim.images.documents import encode
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.oci.descriptors import Descriptor
from shim.oci.media_types import OCI_MANIFEST

A = parse_reference("registry.example/a:1")
B = parse_reference("registry.example/b:1")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


def add_image(store: Store, *layers: bytes) -> Descriptor:
    def blob(data: bytes) -> dict[str, object]:
        return {"mediaType": "text/plain", "digest": store.add(data), "size": len(data)}

    manifest = encode({"config": blob(b"{}"), "layers": [blob(layer) for layer in layers]})
    return Descriptor(OCI_MANIFEST, store.add(manifest), len(manifest))


def test_blob_is_kept_under_its_digest(store: Store) -> None:
    digest = store.add(b"ox")
    blob = Descriptor("text/plain", digest, 2)
    assert digest == "sha256:1dd14ffc3c3045741a5e1821fcaefe7bc9833e0242051ff67053638040cb9b02"
    assert store.has(blob)
    assert store.read(blob) == b"ox"
    with store.open(blob) as file:
        assert file.read() == b"ox"


def test_layout_is_the_one_that_the_specification_describes(store: Store) -> None:
    target = add_image(store, b"layer")
    store.tag(A, target)
    layout = json.loads((store.directory / "oci-layout").read_text())
    index = json.loads((store.directory / "index.json").read_text())
    assert layout == {"imageLayoutVersion": "1.0.0"}
    assert index["schemaVersion"] == 2
    [entry] = index["manifests"]
    assert (entry["digest"], entry["size"]) == (target.digest, target.size)
    assert entry["annotations"]["io.containerd.image.name"] == "registry.example/a:1"
    path = store.directory / "blobs" / target.digest.replace(":", "/")
    assert path.stat().st_size == target.size


def test_names_are_resolved_and_can_move(store: Store) -> None:
    first, second = add_image(store, b"1"), add_image(store, b"2")
    store.tag(A, first)
    store.tag(A, second)
    assert store.resolve(A) == second
    assert list(store.images()) == [str(A)]
    with pytest.raises(NotFoundError, match="pull it"):
        store.resolve(B)


def test_damaged_blob_is_an_error_once_and_then_gone(store: Store) -> None:
    blob = Descriptor("text/plain", store.add(b"right"), 5)
    store.path(blob.digest).write_bytes(b"wrong")
    with pytest.raises(UnavailableError, match="damaged"):
        store.read(blob)
    assert not store.has(blob)
    with pytest.raises(NotFoundError):
        store.read(blob)


def test_removing_frees_what_nobody_else_needs(store: Store) -> None:
    first, second = add_image(store, b"shared", b"one"), add_image(store, b"shared", b"two")
    store.tag(A, first)
    store.tag(B, second)
    assert store.remove(A) > 0
    left = {path.read_bytes() for path in store.blobs.iterdir()}
    assert {b"shared", b"two", b"{}"} < left
    assert b"one" not in left
    assert store.read(second)
    store.remove(B)
    assert list(store.blobs.iterdir()) == []
    with pytest.raises(NotFoundError):
        store.remove(B)


def test_nothing_is_swept_while_somebody_adds(store: Store) -> None:
    store.tag(A, add_image(store, b"a"))
    with Store(store.directory).adding():
        begun = store.add(b"of an image without a name yet")
        assert store.remove(A) == 0
        assert store.path(begun).exists()
    store.tag(B, add_image(store, b"b"))
    assert store.remove(B) > 0
    assert not store.path(begun).exists()


def test_no_name_is_lost_when_many_write_at_once(store: Store) -> None:
    target = add_image(store, b"a")
    names = [parse_reference(f"registry.example/a:{number}") for number in range(24)]

    def tag(mine: list[int]) -> None:
        for number in mine:
            Store(store.directory).tag(names[number], target)

    threads = [threading.Thread(target=tag, args=(list(range(k, 24, 4)),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(store.images()) == {str(name) for name in names}


def test_unfinished_and_wrong_blobs_leave_nothing(store: Store) -> None:
    with store.writing() as writer:
        writer.write(b"half")
    with pytest.raises(InvalidArgumentError, match="other bytes"), store.writing() as writer:
        writer.write(b"x")
        writer.finish("sha256:" + "0" * 64)
    assert [*store.blobs.iterdir(), *store.ingest.iterdir()] == []


@pytest.mark.parametrize(
    "digest", ["sha512:" + "a" * 128, "sha256:../../x", "sha256:" + "A" * 64, ""]
)
def test_only_sha256_names_a_file(store: Store, digest: str) -> None:
    with pytest.raises(InvalidArgumentError, match="64 hex digits"):
        store.path(digest)


def test_unusable_index_is_named(store: Store) -> None:
    (store.directory / "index.json").write_text("[]")
    with pytest.raises(InternalError, match="index"):
        store.images()


def test_directory_that_others_can_change_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "images"
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(PermissionDeniedError, match=r"image store .* can be changed by others"):
        Store(directory)


def test_directories_are_for_their_owner_alone(store: Store) -> None:
    for path in (store.directory, store.blobs, store.ingest):
        assert os.stat(path).st_mode & 0o777 == 0o700
