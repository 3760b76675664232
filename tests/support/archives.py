"""Archives of images that are no file systems: Wasm artifacts, as containerd imports them.

Like `tests.support.images`: the same contents give the same digest everywhere.
"""

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.images import INDEX_TYPE, MANIFEST_TYPE, add_file

WASM_CONFIG_TYPE = "application/vnd.wasm.config.v0+json"
WASM_TYPE = "application/wasm"


@dataclass(frozen=True)
class Layer:
    """A blob of an artifact, with its type, and what its descriptor says besides."""

    data: bytes
    kind: str = WASM_TYPE
    title: str = ""

    @property
    def digest(self) -> str:
        """Its digest."""
        return f"sha256:{hashlib.sha256(self.data).hexdigest()}"


@dataclass(frozen=True)
class ArtifactConfig:
    """An artifact's config, of the CNCF's form unless another type is named."""

    kind: str = WASM_CONFIG_TYPE
    document: Mapping[str, Any] = field(
        default_factory=lambda: {"architecture": "wasm", "os": "wasip1"}
    )


def artifact_archive(
    target: Path,
    name: str,
    layers: Sequence[Layer],
    config: ArtifactConfig | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Path:
    """Write an archive of one artifact.

    Args:
        target: the archive.
        name: the image's full name.
        layers: its blobs, in order.
        config: its config.
        sizes: by digest, the sizes that descriptors are to state in place of the true ones.
    """
    config = config or ArtifactConfig()
    document = Layer(_json({**config.document, "created_by": name}), config.kind)
    described = [_descriptor(layer, sizes or {}) for layer in layers]
    manifest = Layer(
        _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(document, {}),
                "layers": described,
            }
        ),
        MANIFEST_TYPE,
    )
    entry = _descriptor(manifest, {})
    entry["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        add_file(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add_file(archive, "index.json", _json(index))
        for blob in {each.digest: each for each in (manifest, document, *layers)}.values():
            add_file(archive, f"blobs/sha256/{blob.digest.partition(':')[2]}", blob.data)
    return target


def _descriptor(layer: Layer, sizes: Mapping[str, int]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "mediaType": layer.kind,
        "digest": layer.digest,
        "size": sizes.get(layer.digest, len(layer.data)),
    }
    if layer.title:
        described["annotations"] = {"org.opencontainers.image.title": layer.title}
    return described


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
