"""Connects to a server that a guest may reach: one resolution, every answer judged, no second look.

Rules: what is connected to is the address that was judged, so a name that changes its mind between
check and use (DNS rebinding) gains nothing. Made before the jail; certificates are those of certifi
then, or of the file in the container that its variable SSL_CERT_FILE names.
"""

import errno
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import certifi

from shim.outbound.policy import Policy
from shim.outbound.target import SECURE, IpAddress, Target

_CERTIFICATES = "SSL_CERT_FILE"
_REFUSALS = frozenset((b"HTTP-request-denied", b"destination-IP-prohibited"))
_CASES = {
    errno.ECONNREFUSED: b"connection-refused",
    errno.ENETUNREACH: b"destination-IP-unroutable",
    errno.EHOSTUNREACH: b"destination-IP-unroutable",
    errno.ETIMEDOUT: b"connection-timeout",
    errno.ECONNRESET: b"connection-terminated",
}


class DialError(Exception):
    """There is no connection; `case` is the case of wasi:http's `error-code`."""

    def __init__(self, case: bytes, reason: str) -> None:
        super().__init__(reason)
        self.case = case

    @property
    def is_refusal(self) -> bool:
        """Whether nobody was asked for one, because it may not be."""
        return self.case in _REFUSALS


class Dialer:
    """Of one container."""

    def __init__(self, policy: Policy, env: Mapping[str, str]) -> None:
        self._policy = policy
        self._file = env.get(_CERTIFICATES, "")
        self._certificates = certifi.contents()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        # The codec, too, is a file that the jail hides.
        "a".encode("idna")

    def connect(self, target: Target, timeout_s: float, *, to_self: bool) -> socket.socket:
        """A connection, with TLS where the scheme has it; `to_self`: to the guest's own server.

        Raises:
            DialError: the server may not be reached, or cannot be.
        """
        if not (self._policy.allows_self if to_self else self._policy.allows(target)):
            raise DialError(
                b"HTTP-request-denied",
                f"{target.scheme}://{target.authority} is not in the pod's allowed-outbound-hosts"
                f" ({'self' if to_self else f'{target.scheme}://{target.authority}'} would be)",
            )
        context = self._tls(target.scheme) if target.scheme in SECURE else None
        connection = self._connect_first(self._addresses(target), target, timeout_s)
        return connection if context is None else _secured(connection, context, target)

    def _addresses(self, target: Target) -> list[tuple[int, Any]]:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            again = error.errno == socket.EAI_AGAIN
            raise DialError(
                b"DNS-timeout" if again else b"DNS-error", f"{target.host}: {error.strerror}"
            ) from error
        except (OSError, UnicodeError) as error:
            raise DialError(b"DNS-error", f"{target.host}: {error}") from error
        judged: list[tuple[int, Any]] = [
            (family, place)
            for family, _, _, _, place in found
            if not self._policy.blocks(_address(str(place[0])))
        ]
        if not judged:
            raise DialError(
                b"destination-IP-prohibited",
                f"{target.host} is at {', '.join(sorted({str(each[4][0]) for each in found}))},"
                " which the node blocks ([outbound] block)",
            )
        return judged

    def _connect_first(
        self, places: list[tuple[int, Any]], target: Target, timeout_s: float
    ) -> socket.socket:
        failed: OSError | None = None
        for family, place in places:
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(timeout_s)
                connection.connect(place)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                connection.close()
                failed = error
            else:
                return connection
        if isinstance(failed, TimeoutError):
            raise DialError(b"connection-timeout", f"{target.authority}: no connection in time")
        number = failed.errno if failed is not None else None
        case = _CASES.get(number or 0, b"destination-unavailable")
        raise DialError(case, f"{target.authority}: {failed}") from failed

    def _tls(self, scheme: str) -> ssl.SSLContext:
        with self._lock:
            if scheme not in self._contexts:
                try:
                    given = Path(self._file).read_text() if self._file else self._certificates
                    context = ssl.create_default_context(cadata=given)
                except (OSError, ValueError) as error:
                    reason = f"{_CERTIFICATES}={self._file[:80]}: {error}"
                    raise DialError(b"configuration-error", reason) from error
                if scheme == "https":
                    context.set_alpn_protocols(["http/1.1"])
                self._contexts[scheme] = context
            return self._contexts[scheme]


def _secured(connection: socket.socket, context: ssl.SSLContext, target: Target) -> socket.socket:
    try:
        return context.wrap_socket(connection, server_hostname=target.host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        reason = f"{target.authority}: {error.verify_message}"
        raise DialError(b"TLS-certificate-error", reason) from error
    except TimeoutError as error:
        connection.close()
        raise DialError(b"connection-timeout", f"{target.authority}: no TLS in time") from error
    except (ssl.SSLError, OSError) as error:
        connection.close()
        raise DialError(b"TLS-protocol-error", f"{target.authority}: {error}") from error


def _address(text: str) -> IpAddress:
    # Without the zone of a link-local address, which the socket's own numbers keep.
    return ipaddress.ip_address(text.partition("%")[0])
