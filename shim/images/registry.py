"""One repository of one registry, over the OCI distribution protocol.

oras brings the session and the addresses. What it does not do is done here and in `OrasClient`:
blobs are streamed both ways and counted (oras reads what it sends into memory, and verifies
nothing), and a manifest is sent and taken as the bytes that its digest is of (oras writes the JSON
anew).

Rules: what a registry sends is not trusted: not its sizes, its redirects or its error texts.
Loopback registries speak plain HTTP unless a CA file says otherwise, as with containerd.
"""

import hashlib
from collections.abc import Iterator
from io import RawIOBase

import oras.container
from oras.utils import append_url_params

from shim.errdefs import InvalidArgumentError, UnavailableError
from shim.images.oras_client import Access, OrasClient
from shim.images.reference import Reference
from shim.oci.descriptors import MAX_MANIFEST_BYTES, Descriptor, check_digest
from shim.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

_PIECE_BYTES = 256 << 10
_ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX))


class Registry:
    """The repository that a reference names. Close it."""

    def __init__(self, reference: Reference, access: Access) -> None:
        self._name = reference.registry
        self._container = _container(reference)
        plain = access.plain_http or (reference.is_loopback and access.ca_file is None)
        self._oras = OrasClient(reference.registry, access, plain=plain)

    def close(self) -> None:
        """Close its connections."""
        self._oras.session.close()

    def manifest(self, reference: str) -> tuple[Descriptor, bytes]:
        """A manifest or index by its tag or digest, verified where a digest is known.

        Raises:
            NotFoundError: there is none.
            ShimError: see `OrasClient.call`; or it is too large or has another digest.
        """
        url = f"{self._oras.prefix}://{self._container.manifest_url(reference)}"
        response = self._oras.call("GET", url, headers={"Accept": _ACCEPT})
        with response:
            data = self._oras.take(response, MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise InvalidArgumentError(
                f"manifest {reference} in {self._name} has more than {MAX_MANIFEST_BYTES} bytes"
            )
        if reference.startswith("sha256:"):
            check_digest(reference, data)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        return _describe(media_type, data), data

    def blob(self, blob: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob in pieces, no more of them than it is said to have.

        Raises:
            NotFoundError: there is none.
            ShimError: as for `manifest`.
        """
        response = self._oras.checked(
            self._oras.get_blob(self._container, blob.digest, stream=True)
        )
        with response:
            left = blob.size
            while piece := self._oras.take(response, min(left + 1, _PIECE_BYTES)):
                left -= len(piece)
                if left < 0:
                    raise InvalidArgumentError(
                        f"blob {blob.digest} has more bytes than the {blob.size} of its descriptor"
                    )
                yield piece
        if left:
            raise UnavailableError(
                f"registry {self._name} ended blob {blob.digest} {left} bytes too early: try again"
            )

    def has_blob(self, blob: Descriptor) -> bool:
        """Whether it has a blob already.

        Raises:
            ShimError: see `OrasClient.call`.
        """
        url = f"{self._oras.prefix}://{self._container.get_blob_url(blob.digest)}"
        with self._oras.do_request(url, "HEAD") as response:
            if response.status_code == 404:
                return False
            self._oras.checked(response)
        return True

    def push_blob(self, blob: Descriptor, source: RawIOBase) -> None:
        """Send a blob.

        Raises:
            ShimError: see `OrasClient.call`.
        """
        url = f"{self._oras.prefix}://{self._container.upload_blob_url()}"
        with self._oras.call("POST", url, data=b"") as begun:
            location = self._oras.location(begun, self._container)
        url = append_url_params(location, {"digest": blob.digest})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        with self._oras.call("PUT", url, data=source if blob.size else b"", headers=headers):
            pass

    def push_manifest(self, reference: str, media_type: str, data: bytes) -> None:
        """Send a manifest, whose blobs are there, under a tag or its digest.

        Raises:
            ShimError: see `OrasClient.call`.
        """
        url = f"{self._oras.prefix}://{self._container.manifest_url(reference)}"
        with self._oras.call("PUT", url, data=data, headers={"Content-Type": media_type}):
            pass


def _container(reference: Reference) -> oras.container.Container:
    """The repository as oras calls it, who takes no host without a dot or a port for one."""
    container = oras.container.Container(str(reference))
    namespace, _, repository = reference.repository.rpartition("/")
    container.registry, container.namespace = reference.registry, namespace
    container.repository = repository
    return container


def _describe(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
