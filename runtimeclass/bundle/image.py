"""The image of the installer: a bundle at /tandem and nothing else, made without Docker.

Rules: no shell and no other system, so that the entry point names the bundle's loader and Python.
The same bundle gives the same bytes. `runtimeclass/Dockerfile` makes the same image, but for what
Docker adds of its own. The layer is compressed, since every node of a cluster pulls it.
"""

import gzip
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO, cast

from runtimeclass.bundle import manifest
from runtimeclass.bundle.programs import entry_point
from shim.images.archive import write_archive
from shim.images.closure import closure
from shim.images.pack import Settings, finish_image
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.images.tar_layer import Addition, write_tar
from shim.oci.descriptors import Descriptor
from shim.oci.media_types import OCI_TAR_GZIP

ROOT = "/tandem"
NAME = "localhost/tandem-node"


def write(bundle: Path, target: Path) -> str:
    """Write an OCI archive for `ctr images import`, and return the image's name."""
    about = json.loads((bundle / manifest.NAME).read_text())
    name = f"{NAME}:{about['version']}"
    settings = Settings(
        created_s=int(os.environ.get("SOURCE_DATE_EPOCH", "0")),
        entrypoint=entry_point(ROOT),
        platform=f"linux/{about['arch']}",
    )
    with tempfile.TemporaryDirectory(dir=target.parent) as directory:
        store = Store(Path(directory))
        layer, diff_id = _layer(store, bundle)
        image = finish_image(store, [layer], [diff_id], settings)
        manifests, blobs = closure(store, image)
        write_archive(store, parse_reference(name), image, [*manifests, *blobs], target)
    return name


class _Hashed:
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def digest(self) -> str:
        return f"sha256:{self._digest.hexdigest()}"


def _layer(store: Store, bundle: Path) -> tuple[Descriptor, str]:
    with store.writing() as writer:
        with gzip.GzipFile("", "wb", 6, cast("IO[bytes]", writer), mtime=0) as packed:
            archive = _Hashed(cast("IO[bytes]", packed))
            write_tar([Addition(ROOT, bundle)], cast("IO[bytes]", archive))
        return Descriptor(OCI_TAR_GZIP, writer.finish(), writer.size), archive.digest()
