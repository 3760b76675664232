"""The list of servers that a pod's guests may reach: the grammar of Spin's allowed_outbound_hosts.

An entry is `SCHEME://HOST[:PORT]`: a scheme or `*`; a name, an address, `*`, `*.example.com` (the
names below it, not itself), a network such as `10.0.0.0/8`, or `self`; a port, `*`, or `8000..8010`
(the end is not in it). Without a port it is the scheme's own.

Rules: pure. What an entry cannot mean is an error, never an entry that matches nothing.
Source: Spin's application manifest, "allowed_outbound_hosts".
"""

import ipaddress
import re
from dataclasses import dataclass

from shim.errdefs import InvalidArgumentError
from shim.outbound.target import MAX_PORT, PORTS, Target, parse_host, parse_port, split_port

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_SEPARATORS = re.compile(r"[\s,]+")
_MAX_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry; None stands for any. Of the four kinds of host, at most one is there.

    `first` and `last` port are both in it. `below` starts with a dot.
    """

    scheme: str | None = None
    host: str | None = None
    below: str | None = None
    network: IpNetwork | None = None
    to_self: bool = False
    first: int = 1
    last: int = MAX_PORT

    def matches(self, target: Target) -> bool:
        """Whether requests may go there; a network is for hosts that are addresses."""
        if self.to_self or self.scheme not in {None, target.scheme}:
            return False
        if not self.first <= target.port <= self.last:
            return False
        if self.network is not None:
            address = target.address
            return (
                address is not None
                and address.version == self.network.version
                and address in self.network
            )
        if self.below is not None:
            return target.address is None and target.host.endswith(self.below)
        return self.host in {None, target.host}


def parse_rules(text: str, where: str) -> tuple[Rule, ...]:
    """Read a list whose entries are separated by commas or white space; empty, it allows nothing.

    Raises:
        InvalidArgumentError: an entry is none.
    """
    entries = [entry for entry in _SEPARATORS.split(text) if entry]
    if len(entries) > _MAX_ENTRIES:
        raise InvalidArgumentError(f"{where} has more than {_MAX_ENTRIES} entries")
    return tuple(_rule(entry, where) for entry in entries)


def _rule(entry: str, where: str) -> Rule:
    try:
        return _parse(entry)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where}: entry {entry[:80]!r}: {error}") from None


def _parse(entry: str) -> Rule:
    scheme, separator, rest = entry.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise InvalidArgumentError("it is SCHEME://HOST[:PORT], and has no ://")
    if scheme != "*" and scheme not in PORTS:
        raise InvalidArgumentError(f"the scheme is {', '.join(PORTS)} or *")
    if "/" in rest:
        network = _network(rest)
        if network is not None:
            return _with_ports(Rule(_any(scheme), network=network[0]), network[1])
    host, port = split_port(rest.removesuffix("/"))
    if host in {"self", "self.alt"}:
        if port is not None:
            raise InvalidArgumentError("self has no port: it is where this container listens")
        return Rule(_any(scheme), to_self=True)
    if host == "*":
        return _with_ports(Rule(_any(scheme)), port)
    if host.startswith("*."):
        name, address = parse_host(host[2:])
        if address is not None:
            raise InvalidArgumentError(
                "there are no names below an address; a network is A.B.C.D/N"
            )
        return _with_ports(Rule(_any(scheme), below=f".{name}"), port)
    return _with_ports(Rule(_any(scheme), host=parse_host(host)[0]), port)


def _any(text: str) -> str | None:
    return None if text == "*" else text


def _network(rest: str) -> tuple[IpNetwork, str | None] | None:
    """A network and its port; None where the slash is the one at the end of a URL."""
    host, _, tail = rest.partition("/")
    if not tail:
        return None
    bits, colon, port = tail.partition(":")
    return parse_network(f"{host.strip('[]')}/{bits}"), port if colon else None


def parse_network(text: str) -> IpNetwork:
    """Read a network such as `10.0.0.0/8`, or an address, which is one of its own.

    Raises:
        InvalidArgumentError: it is none; a path is none, and no part of an entry.
    """
    _, slash, bits = text.partition("/")
    # ipaddress takes netmasks and zones, too
    if (not slash or (bits.isascii() and bits.isdigit())) and "%" not in text:
        try:
            return ipaddress.ip_network(text)
        except ValueError:
            pass
    raise InvalidArgumentError(
        f"{text[:80]!r} is no network such as 10.0.0.0/8 (with zeros behind its bits)"
    )


def _with_ports(rule: Rule, port: str | None) -> Rule:
    first, last = _ports(rule.scheme, port)
    return Rule(rule.scheme, rule.host, rule.below, rule.network, first=first, last=last)


def _ports(scheme: str | None, port: str | None) -> tuple[int, int]:
    if port is None and scheme is not None:
        return PORTS[scheme], PORTS[scheme]
    if port is None or port == "*":
        # any scheme has any port: there is none of its own
        return 1, MAX_PORT
    start, dots, end = port.partition("..")
    if not dots:
        number = parse_port(port)
        return number, number
    first, last = parse_port(start), parse_port(end) - 1
    if last < first:
        raise InvalidArgumentError("the range of ports is empty: its end is not in it")
    return first, last
