"""An image as a loader's source: what is known without containerd, and what is kept of it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from shim.aot.cache import Cache
from shim.aot.entry import Artefact
from shim.aot.report import Loaded
from shim.content.documents import Documents
from shim.content.source import ImageSource, Origin, Target
from shim.errdefs import NoArtifactError, ShimError
from shim.oci.artifact import Artifact
from shim.oci.choose import Choice
from shim.oci.descriptors import Descriptor
from shim.wasm.binary import Kind

ORIGIN = Origin("/run/c.sock", "n", "c")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
WASM_CONFIG = "application/vnd.wasm.config.v0+json"
WASM = "application/wasm"
MODULE = b"\0asm\1\0\0\0"
MODULE_DIGEST = hashlib.sha256(MODULE).hexdigest()


@pytest.fixture(name="cache")
def _cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1 << 30, "key")


def descriptor_of(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def as_json(descriptor: Descriptor) -> dict[str, Any]:
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }


def keep(cache: Cache, config_type: str, *layers: Descriptor) -> Target:
    """An image whose documents were read before."""
    documents = Documents(cache.directory)
    config = json.dumps({"architecture": "wasm", "os": "wasip1", "rootfs": {"diff_ids": []}})
    config_descriptor = descriptor_of(config.encode(), config_type)
    documents.add(config_descriptor, config.encode())
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": as_json(config_descriptor),
            "layers": [as_json(layer) for layer in layers],
        }
    ).encode()
    descriptor = descriptor_of(manifest, MANIFEST)
    documents.add(descriptor, manifest)
    return Target("localhost/a:1", descriptor)


def first(artifact: Artifact) -> Choice:
    return Choice(artifact.modules[0], None, ("a",))


def source(cache: Cache, target: Target | None) -> ImageSource:
    return ImageSource(ORIGIN, first, cache, target)


def compiled(cache: Cache, image: str | None) -> Artefact:
    with cache.writing(MODULE_DIGEST) as entry:
        return entry.finish(Kind.MODULE, b"code", len(MODULE), image)


def test_module_that_was_compiled_is_found_without_containerd(cache: Cache) -> None:
    target = keep(cache, WASM_CONFIG, descriptor_of(MODULE, WASM))
    artefact = compiled(cache, target.descriptor.digest)
    asked = source(cache, target)
    found = asked.find(cache)
    assert found is not None
    assert found.artefact == artefact
    assert asked.digest == MODULE_DIGEST
    assert asked.image == target.descriptor.digest
    # What a loader would say of the image leads to the same one.
    other = source(cache, None)
    assert other.adopt(found) == asked.resolved
    assert asked.resolved.target == target


def test_nothing_is_found_without_the_images_digest(cache: Cache) -> None:
    compiled(cache, keep(cache, WASM_CONFIG, descriptor_of(MODULE, WASM)).descriptor.digest)
    assert source(cache, None).find(cache) is None


def test_nothing_is_found_of_an_image_never_read(cache: Cache) -> None:
    target = Target("localhost/a:1", descriptor_of(b"{}", MANIFEST))
    assert source(cache, target).find(cache) is None


def test_module_that_was_not_compiled_is_not_found(cache: Cache) -> None:
    target = keep(cache, WASM_CONFIG, descriptor_of(MODULE, WASM))
    assert source(cache, target).find(cache) is None


def test_module_without_its_files_is_found_only_for_who_wants_none(cache: Cache) -> None:
    tar = descriptor_of(b"tar", "application/x-tar")
    target = keep(cache, WASM_CONFIG, descriptor_of(MODULE, WASM), tar)
    compiled(cache, target.descriptor.digest)
    assert source(cache, target).find(cache) is None
    assert ImageSource(ORIGIN, first, cache, target, with_files=False).find(cache) is not None


def test_ordinary_image_is_said_to_be_none(cache: Cache) -> None:
    tar = descriptor_of(b"tar", "application/vnd.oci.image.layer.v1.tar")
    target = keep(cache, IMAGE_CONFIG, tar)
    with pytest.raises(NoArtifactError, match="image localhost/a:1 is no Wasm artifact"):
        source(cache, target).find(cache)


def test_digest_that_is_not_the_caches_kind_is_not_its_key(cache: Cache) -> None:
    digest = f"sha512:{hashlib.sha512(MODULE).hexdigest()}"
    target = keep(cache, WASM_CONFIG, Descriptor(WASM, digest, len(MODULE)))
    asked = source(cache, target)
    assert asked.find(cache) is None
    assert asked.digest is None


def test_documents_that_are_gone_meanwhile_are_an_error(cache: Cache) -> None:
    target = keep(cache, WASM_CONFIG, descriptor_of(MODULE, WASM))
    found = Loaded(compiled(cache, target.descriptor.digest), source_facts(target))
    for path in (cache.directory / "documents").iterdir():
        path.unlink()
    with pytest.raises(ShimError, match=r"image localhost/a:1: .*a retry reads it again"):
        source(cache, None).adopt(found)


def source_facts(target: Target) -> dict[str, Any]:
    descriptor = target.descriptor
    return {
        "image": target.image,
        "media_type": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
