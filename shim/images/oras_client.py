"""oras's client with its way to the network replaced, so that every answer is bounded and told.

Rules: every request has a time limit, and none is repeated but for a challenge; bodies are read as
they were sent, by whoever says how much; credentials go to the registry itself and to its token
service. What goes wrong is an error of ours, with the innermost reason and nothing that a terminal
would obey.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import oras.provider
import requests
import urllib3

from shim.errdefs import (
    FailedPreconditionError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.images.challenge import answer
from shim.images.credentials import Credentials

_TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces
_MAX_REDIRECTS = 5
_MAX_ERROR_BYTES = 8192
# requests' own choice is the list of a Python package, which knows no company's authority.
_SYSTEM_AUTHORITIES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach registries."""

    plain_http: bool = False
    ca_file: Path | None = None
    credentials: Credentials | None = None


class OrasClient(oras.provider.Registry):  # type: ignore[misc]
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
    text = str(error)
    return "".join(
        char if char.isprintable() else "?" for char in text.rpartition("): ")[2] or text
    )[:200]
