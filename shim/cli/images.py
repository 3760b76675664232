"""`tandem images`: what the node's image store holds."""

from shim.cli.group import named
from shim.cli.node import node_store
from shim.cli.output import output_option, print_json, print_table, size_text
from shim.errdefs import ShimError
from shim.images.closure import closure
from shim.images.store import Store
from shim.oci.descriptors import Descriptor


@named("images")
@output_option
def command(output: str) -> None:
    """List the images that were packed or pulled here; containerd's are not among them.

    JSON, a list of: reference, digest, size (all blobs, in bytes; null where some are missing).
    """
    store = node_store()
    found = [
        {"reference": name, "digest": target.digest, "size": _size(store, target)}
        for name, target in store.images().items()
    ]
    if output == "json":
        print_json(found)
        return
    rows = [
        (
            str(each["reference"]),
            str(each["digest"])[:19],
            size_text(each["size"]) if isinstance(each["size"], int) else "incomplete",
        )
        for each in found
    ]
    print_table(("REFERENCE", "DIGEST", "SIZE"), rows)


def _size(store: Store, target: Descriptor) -> int | None:
    try:
        manifests, blobs = closure(store, target, whole=False)
    except ShimError:
        return None
    return sum(blob.size for blob in (*manifests, *blobs))
