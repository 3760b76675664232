"""Manifests of every packing, as the tools write them, and a store of documents."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from shim.errdefs import NotFoundError
from shim.oci.descriptors import Descriptor

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
CNCF_CONFIG = "application/vnd.wasm.config.v0+json"
EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
OCI_TAR = "application/vnd.oci.image.layer.v1.tar"
WASM = "application/wasm"
SPIN_WASM = "application/vnd.wasm.content.layer.v1+wasm"
SPIN_DATA = "application/vnd.wasm.content.layer.v1+data"
SPIN_ARCHIVE = "application/vnd.wasm.content.bundle.v1.tar+gzip"
SPIN_APPLICATION = "application/vnd.fermyon.spin.application.v1+config"
TITLE = "org.opencontainers.image.title"

Json = dict[str, Any]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(media_type: str, content: str = "x", title: str = "", **more: Any) -> Json:
    """A descriptor; what it names is nowhere, since nobody reads it here."""
    data = content.encode()
    entry = {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}
    return {**entry, "annotations": {TITLE: title}} if title else entry


def manifest(config_type: str, layers: Sequence[Json], **more: Any) -> Json:
    return {"schemaVersion": 2, "config": layer(config_type, "{}"), "layers": list(layers), **more}


def index(entries: Sequence[Json]) -> Json:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}


def application(components: Sequence[Json], triggers: Sequence[Json] = (), **more: Any) -> Json:
    return {
        "spin_lock_version": 1,
        "components": list(components),
        "triggers": list(triggers),
        **more,
    }


def component(name: str, wasm: str, files: Sequence[Json] = (), **more: Any) -> Json:
    source = {"content_type": WASM, "digest": digest_of(wasm.encode())}
    return {"id": name, "source": source, "files": list(files), **more}


def http_trigger(component_id: str, route: str = "/...") -> Json:
    return {
        "id": f"trigger-{component_id}",
        "trigger_type": "http",
        "trigger_config": {"component": component_id, "route": route},
    }


class Documents:
    """JSON documents by digest; `read` is what the code under test is given."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}
        self.read_digests: list[str] = []

    def add(self, document: Mapping[str, Any] | bytes, media_type: str) -> Json:
        """Keep it, and return its descriptor as JSON."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._documents[digest_of(data)] = data
        return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}

    def target(self, document: Mapping[str, Any], media_type: str = OCI_MANIFEST) -> Descriptor:
        entry = self.add(document, media_type)
        return Descriptor(media_type, entry["digest"], entry["size"])

    def read(self, descriptor: Descriptor) -> bytes:
        self.read_digests.append(descriptor.digest)
        if descriptor.digest not in self._documents:
            raise NotFoundError(f"{descriptor.digest} is not there")
        return self._documents[descriptor.digest]
