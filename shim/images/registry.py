"""One repository of one registry, over the OCI distribution protocol.

oras brings the session, the addresses and most calls. What it does not do is done here: nothing is
read without a bound, every request has a time limit, nothing is repeated for minutes, and a
manifest is sent and taken as the bytes that its digest is of (oras writes the JSON anew).

Rules: what a registry sends is not trusted: not its sizes, its redirects or its error texts.
Loopback registries speak plain HTTP unless a CA file says otherwise, as with containerd.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

import oras.container
import oras.provider
import requests
import urllib3
from oras.utils import append_url_params

from shim.errdefs import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.images.challenge import answer
from shim.images.credentials import Credentials
from shim.images.reference import Reference
from shim.oci.descriptors import MAX_MANIFEST_BYTES, Descriptor, check_digest
from shim.oci.media_types import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

_TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces
_MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 8192
_PIECE_BYTES = 256 << 10
_ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX))
# requests' own choice is the list of a Python package, which knows no company's authority.
_SYSTEM_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach registries."""

    plain_http: bool = False
    ca_file: Path | None = None
    credentials: Credentials | None = None


class Registry:
    """The repository that a reference names. Close it."""

    def __init__(self, reference: Reference, access: Access) -> None:
        self._name = reference.registry
        self._container = oras.container.Container(str(reference))
        plain = access.plain_http or (reference.is_loopback and access.ca_file is None)
        self._oras = _Oras(reference.registry, access, plain=plain)

    def close(self) -> None:
        """Close its connections."""
        self._oras.session.close()

    def manifest(self, reference: str) -> tuple[Descriptor, bytes]:
        """A manifest or index by its tag or digest, verified where a digest is known.

        Raises:
            NotFoundError: there is none.
            ShimError: see `_Oras.call`; or it is too large or has another digest.
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
            ShimError: see `_Oras.call`.
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
            ShimError: see `_Oras.call`.
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
            ShimError: see `_Oras.call`.
        """
        url = f"{self._oras.prefix}://{self._container.manifest_url(reference)}"
        with self._oras.call("PUT", url, data=data, headers={"Content-Type": media_type}):
            pass


class _Oras(oras.provider.Registry):  # type: ignore[misc]
    """oras's client, whose one way to the network is replaced."""

    def __init__(self, name: str, access: Access, *, plain: bool) -> None:
        super().__init__(hostname=name, insecure=plain, tls_verify=_authorities(access))
        # Not of the environment: a .netrc, whose passwords would go to any registry.
        self.session.trust_env = False
        self.session.max_redirects = _MAX_REDIRECTS
        self._credentials = access.credentials
        self._authorization = ""

    def call(self, method: str, url: str, **request: Any) -> requests.Response:
        """Make a request that has to succeed; the answer's body is still to be read.

        Raises:
            NotFoundError: the registry does not have it.
            PermissionDeniedError: it does not let us.
            ResourceExhaustedError: it wants fewer requests.
            UnavailableError: it cannot be reached, or fails.
            FailedPreconditionError: it refuses otherwise; the text is its own.
        """
        return self.checked(self.do_request(url, method, **request))

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        stream: bool = True,  # noqa: ARG002, FBT001, FBT002 - oras's own
    ) -> requests.Response:
        """What every call of oras's goes through."""
        wanted = {"Accept-Encoding": "identity", **(headers or {})}
        response = self._send(method, url, data=data, json=json, headers=wanted)
        if response.status_code != 401 or not self._is_ours(url):
            return response
        with response:
            challenge = response.headers.get("WWW-Authenticate", "")
        self._authorization = answer(
            challenge,
            self._credentials,
            self.hostname,
            secure=self.prefix == "https",
            send=lambda *args, **more: self._transmit(*args, allow_redirects=False, **more),
        )
        if hasattr(data, "seek"):
            data.seek(0)
        return self._send(method, url, data=data, json=json, headers=wanted)

    def location(self, response: requests.Response, container: Any) -> str:
        """Where an upload that was begun goes on.

        Raises:
            UnavailableError: the registry does not say, or says a less secure place.
        """
        url = str(self._get_location(response, container))
        if not url.startswith(f"{self.prefix}://") and not url.startswith("https://"):
            raise UnavailableError(f"registry {self.hostname} gives no usable place to upload to")
        return url

    def take(self, response: requests.Response, max_bytes: int) -> bytes:
        """The next bytes of a body, exactly as they were sent; none at its end."""
        pieces = []
        with self._translated():
            while max_bytes > 0 and (piece := response.raw.read(max_bytes, decode_content=False)):
                pieces.append(piece)
                max_bytes -= len(piece)
        return b"".join(pieces)

    def checked(self, response: requests.Response) -> requests.Response:
        """The answer, unless it says no: see `call`."""
        if response.status_code < 300:
            return response
        body = b""
        with response, contextlib.suppress(ShimError):
            body = self.take(response, _MAX_ERROR_BYTES)
        raise _refusal(self.hostname, response.status_code, body)

    def _send(self, method: str, url: str, **request: Any) -> requests.Response:
        if self._authorization and self._is_ours(url):
            request["headers"] = {**request["headers"], "Authorization": self._authorization}
        return self._transmit(method, url, **request)

    def _is_ours(self, url: str) -> bool:
        """Whether it is the registry's own, and not a store's of its choice."""
        return url.startswith(f"{self.prefix}://{self.hostname}/")

    def _transmit(self, method: str, url: str, **request: Any) -> requests.Response:
        with self._translated():
            response: requests.Response = self.session.request(
                method,
                url,
                timeout=_TIMEOUT_S,
                verify=self._tls_verify,
                stream=True,
                proxies=requests.utils.get_environ_proxies(url),
                **request,
            )
        if self.prefix == "https" and not response.url.startswith("https://"):
            response.close()
            raise PermissionDeniedError(
                f"registry {self.hostname} sends us from TLS to plain HTTP: refused"
            )
        return response

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise UnavailableError(
                f"no TLS with registry {self.hostname}: {_reason(error)}; --ca-file names its"
                " authority, --plain-http does without"
            ) from error
        except requests.exceptions.TooManyRedirects:
            raise UnavailableError(
                f"registry {self.hostname} redirects more than {_MAX_REDIRECTS} times"
            ) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise UnavailableError(f"registry {self.hostname}: {_reason(error)}") from error


def _authorities(access: Access) -> str | bool:
    if access.ca_file is not None:
        if not access.ca_file.is_file():
            raise NotFoundError(f"CA file {access.ca_file} does not exist")
        return str(access.ca_file)
    wanted = (os.environ.get("SSL_CERT_FILE", ""), *_SYSTEM_AUTHORITIES)
    return next((name for name in wanted if name and Path(name).is_file()), True)


def _describe(media_type: str, data: bytes) -> Descriptor:
    return Descriptor(media_type, f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def _refusal(registry: str, status: int, body: bytes) -> ShimError:
    said = _message(body)
    text = f"registry {registry} answers {status}" + (f": {said}" if said else "")
    if status in {401, 403}:
        return PermissionDeniedError(f"{text}; are the credentials in docker's config.json right?")
    if status == 404:
        return NotFoundError(text)
    if status == 429:
        return ResourceExhaustedError(f"{text}; too many requests: try again later")
    if status >= 500:
        return UnavailableError(text)
    return FailedPreconditionError(text)


def _message(body: bytes) -> str:
    try:
        first = json.loads(body)["errors"][0]
        text = str(first.get("message") or first["code"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return ""
    # A terminal obeys what is not printable.
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def _reason(error: BaseException) -> str:
    """The innermost cause, without requests' and urllib3's wrapping."""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return _reason(inner)
    text = str(inner or error)
    return "".join(
        char if char.isprintable() else "?" for char in text.rpartition("): ")[2] or text
    )[:200]
