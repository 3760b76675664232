"""The pieces that images and artifacts are made of: blobs, tar layers, configs, manifests.

Nothing of the shim's own code is used: what people's tools push has to be read as it is. Layers
depend on their contents alone, so that a digest is the same on every machine.
"""

import base64
import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support import images
from tests.support.images import Content
from tests.support.registry import Blob

CONFIG = images.CONFIG_TYPE
TAR = images.LAYER_TYPE
TAR_GZIP = f"{images.LAYER_TYPE}+gzip"
WASM = "application/wasm"
TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Artifact:
    """What goes into a registry: the target, and every blob and manifest that it leads to."""

    target: Blob
    blobs: tuple[Blob, ...]

    @property
    def digest(self) -> str:
        """The target's, such as sha256:..."""
        return self.target.digest


def tar_layer(files: Mapping[str, Content], media_type: str = TAR) -> Blob:
    """A layer that holds files by absolute path; compressed where its type says so."""
    buffer = io.BytesIO()
    images.write_layer(buffer, files)
    data = buffer.getvalue()
    zipped = media_type.endswith("gzip")
    return Blob(media_type, gzip.compress(data, mtime=0) if zipped else data)


def diff_id(layer: Blob) -> str:
    """The digest of a layer's uncompressed bytes."""
    plain = gzip.decompress(layer.data) if layer.media_type.endswith("gzip") else layer.data
    return f"sha256:{hashlib.sha256(plain).hexdigest()}"


def json_blob(media_type: str, document: object) -> Blob:
    """A document as a blob."""
    return Blob(media_type, json.dumps(document, separators=(",", ":")).encode())


def image_config(
    platform: str,
    diff_ids: Sequence[str] = (),
    *,
    media_type: str = CONFIG,
    **process: object,
) -> Blob:
    """An image's config; `process` is its member "config", such as Entrypoint and Labels."""
    system, _, architecture = platform.partition("/")
    rootfs = {"type": "layers", "diff_ids": list(diff_ids)}
    document: dict[str, object] = {"architecture": architecture, "os": system, "rootfs": rootfs}
    if process:
        document["config"] = process
    return json_blob(media_type, document)


def manifest(
    config: Blob,
    layers: Sequence[Blob],
    *,
    annotated: Sequence[Mapping[str, str]] = (),
    inline: bool = False,
    media_type: str = images.MANIFEST_TYPE,
    **more: object,
) -> Artifact:
    """One image or artifact.

    Args:
        config: its config.
        layers: its layers, in order.
        annotated: the layers' annotations, for as many as have some; see `titled`.
        inline: whether the config's descriptor holds its bytes, too.
        media_type: the manifest's own.
        more: further members, such as artifactType and annotations; None leaves one out.
    """
    extras: list[dict[str, object]] = [{"annotations": dict(found)} for found in annotated]
    extras += [{}] * (len(layers) - len(extras))
    data = {"data": base64.b64encode(config.data).decode()} if inline else {}
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.descriptor(**data),
        "layers": [layer.descriptor(**extra) for layer, extra in zip(layers, extras, strict=True)],
        **more,
    }
    document = {name: value for name, value in document.items() if value is not None}
    return Artifact(json_blob(media_type, document), (config, *layers))


def titled(*names: str) -> list[dict[str, str]]:
    """The annotations of layers that are files with these names."""
    return [{TITLE: name} for name in names]


def index(entries: Mapping[str, Artifact]) -> Artifact:
    """An index of one manifest for each platform, such as "wasi/wasm"."""
    described = []
    blobs: list[Blob] = []
    for platform, entry in entries.items():
        system, _, architecture = platform.partition("/")
        found = {"os": system, "architecture": architecture}
        described.append(entry.target.descriptor(platform=found))
        blobs += [*entry.blobs, entry.target]
    media_type = images.INDEX_TYPE
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": described}
    return Artifact(json_blob(media_type, document), tuple(blobs))


def marked(module: bytes, mark: str) -> bytes:
    """The same module or component with a custom section more, so that its digest is another."""
    name = mark.encode()
    section = bytes([len(name)]) + name
    return module + bytes([0, len(section)]) + section
