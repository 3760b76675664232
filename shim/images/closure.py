"""What an image in the store is made of.

Rules: reads only; limits are those of the artifacts that containers run.
"""

from shim.errdefs import InvalidArgumentError, NotFoundError, ResourceExhaustedError
from shim.images.store import Store
from shim.oci.artifact import MAX_LAYERS, MAX_TOTAL_BYTES
from shim.oci.descriptors import Descriptor, Manifest, parse_index, parse_manifest
from shim.oci.media_types import is_index


def closure(
    store: Store, target: Descriptor, *, whole: bool = True
) -> tuple[list[Descriptor], list[Descriptor]]:
    """Everything that an image in the store is made of: its manifests, the target first; its blobs.

    Args:
        store: where it is.
        target: its manifest or index.
        whole: insist on every entry of an index, of which `pull` fetches the one for this node.

    Raises:
        NotFoundError: a part is missing.
    """
    manifests, blobs = [target], dict[str, Descriptor]()
    for at in manifests:
        document = store.read(at)
        if is_index(at.media_type):
            known = {each.digest for each in manifests}
            entries = [each for each in parse_index(document).manifests if each.digest not in known]
            manifests += [each for each in entries if whole or store.has(each)]
        else:
            blobs.update(
                {blob.digest: blob for blob in blobs_of(parse_manifest(document), at.digest)}
            )
    for blob in blobs.values():
        if not store.has(blob):
            raise NotFoundError(
                f"blob {blob.digest} is not in the image store: pull the image again"
            )
    return manifests, list(blobs.values())


def blobs_of(manifest: Manifest, name: str) -> list[Descriptor]:
    """The config and the layers of a manifest, each once; `name` is for the errors.

    Raises:
        InvalidArgumentError: there are too many of them.
        ResourceExhaustedError: they are too large.
    """
    blobs = {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    if len(manifest.layers) > MAX_LAYERS:
        raise InvalidArgumentError(
            f"image {name} has {len(manifest.layers)} layers, and {MAX_LAYERS} are the most"
        )
    total = sum(blob.size for blob in blobs.values())
    if total > MAX_TOTAL_BYTES:
        raise ResourceExhaustedError(
            f"image {name} has {total} bytes, and {MAX_TOTAL_BYTES} are the most"
        )
    return list(blobs.values())
