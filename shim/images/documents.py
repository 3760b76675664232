"""The JSON of an image layout, in the one form in which we write it.

Rules: pure. The same facts have the same bytes, on every machine and at any time: members are
sorted, and there is no white space.
"""

import json
from collections.abc import Mapping
from typing import Any

from shim.errdefs import InternalError
from shim.oci.descriptors import Descriptor, parse_index

# By the first, containerd and docker call an image that they import; by the second, skopeo and
# podman do.
NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"


def encode(document: Mapping[str, Any]) -> bytes:
    """A document's bytes."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def descriptor_json(descriptor: Descriptor) -> dict[str, Any]:
    """A descriptor, as manifests and indexes hold it."""
    members: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.annotations:
        members["annotations"] = dict(descriptor.annotations)
    return members


def index_entry(name: str, target: Descriptor) -> dict[str, Any]:
    """A layout's entry for the image `name`."""
    return {**descriptor_json(target), "annotations": {NAME: name, REF_NAME: name}}


def read_entries(index: bytes) -> dict[str, Descriptor]:
    """The images of a layout by name, in order; those without one by their digest.

    Raises:
        InternalError: it is none.
    """
    try:
        entries = parse_index(index).manifests
    except Exception as error:
        raise InternalError(f"index.json of the image layout is unusable: {error}") from error
    return {
        each.annotations.get(NAME) or each.annotations.get(REF_NAME) or each.digest: Descriptor(
            each.media_type, each.digest, each.size
        )
        for each in entries
    }
