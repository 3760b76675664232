"""Where a request is going, read once and strictly: what is checked is what is connected to.

Rules: pure. A host is an address in its one usual form, or a name in lower case without the last
dot; every other spelling is refused and never repaired, because whoever resolves it later might
read it in another way (inet_aton(3) takes `127.1`, `0x7f.1` and `2130706433`).
Sources: RFC 3986 3.2, RFC 9110 4.2, the URL standard's "ends in a number".
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
HTTP, REDIS = ("http", "https"), ("redis", "rediss")
SECURE = frozenset(("https", "rediss"))
MAX_PORT = 65535
_MAX_NAME = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?").fullmatch
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*").fullmatch
_V6_CHARACTERS = frozenset("0123456789abcdef:.")


@dataclass(frozen=True, slots=True)
class Target:
    """A server: `host` as it is written in a URL, without brackets; `address` where it is one."""

    scheme: str
    host: str
    port: int
    address: IpAddress | None = None

    @property
    def authority(self) -> str:
        """What the field Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS.get(self.scheme) else f"{host}:{self.port}"


def parse_target(scheme: str, authority: str, schemes: Sequence[str] = HTTP) -> Target:
    """Read a scheme, one of two, and an authority.

    Raises:
        InvalidArgumentError: it is none that a request can go to.
    """
    scheme = scheme.lower()
    if scheme not in schemes:
        raise InvalidArgumentError(f"scheme {scheme[:40]!r} is neither {' nor '.join(schemes)}")
    host, port = split_port(authority)
    number = PORTS[scheme] if port is None else parse_port(port)
    name, address = parse_host(host)
    return Target(scheme, name, number, address)


def split_port(authority: str) -> tuple[str, str | None]:
    """Split an authority's text at the colon that is not in brackets."""
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        if bracket and rest[:1] in {"", ":"}:
            return host + bracket, rest[1:] if rest else None
        raise InvalidArgumentError(f"authority {authority[:80]!r} has no end of its address")
    host, colon, port = authority.partition(":")
    return host, port if colon else None


def parse_port(text: str) -> int:
    """Read a port.

    Raises:
        InvalidArgumentError: it is no number from 1 to 65535.
    """
    if text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= MAX_PORT:
        return int(text)
    raise InvalidArgumentError(f"port {text[:20]!r} is no number from 1 to {MAX_PORT}")


def parse_host(text: str) -> tuple[str, IpAddress | None]:
    """Read a host: its one spelling, and the address that it is, or None for a name.

    Raises:
        InvalidArgumentError: it is neither name nor address.
    """
    host = text.lower()
    if host.startswith("[") and host.endswith("]"):
        # A zone (`%eth0`) names an interface of the node, which no URL of a guest's has to.
        if not set(host[1:-1]) <= _V6_CHARACTERS:
            raise InvalidArgumentError(f"host {text[:80]!r} is no IPv6 address")
        address = _address(ipaddress.IPv6Address, host[1:-1], text)
        return str(address), address
    host = host.removesuffix(".")
    labels = host.split(".")
    if _NUMBER(labels[-1]):
        address = _address(ipaddress.IPv4Address, host, text)
        return str(address), address
    if len(host) > _MAX_NAME or not all(map(_LABEL, labels)):
        raise InvalidArgumentError(
            f"host {text[:80]!r} is no name; one with other letters is written in punycode (xn--)"
        )
    return host, None


def _address(
    kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address], host: str, text: str
) -> IpAddress:
    try:
        return kind(host)
    except ValueError:
        raise InvalidArgumentError(f"host {text[:80]!r} is no IP address") from None
