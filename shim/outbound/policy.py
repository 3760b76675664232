"""Which servers a container's guests may reach: the pod's list, and the node's that no pod lifts.

Rules: pure. Names are judged before anybody resolves them, so that a denied one is not even asked
for; addresses are judged one by one before a connection, whatever name they come from. What an
address carries inside (IPv4 in IPv6) is judged as well, because the kernel or a gateway unpacks it.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from shim.errdefs import InvalidArgumentError
from shim.outbound.rules import IpNetwork, Rule, parse_network, parse_rules
from shim.outbound.target import IpAddress, Target

ANNOTATION = "io.containerd.tandem.v1/allowed-outbound-hosts"
DEFAULTS = ("allow", "deny")
# Where clouds answer anybody on the node with the node's own credentials. Private networks are not
# here: the cluster's services are there, and its NetworkPolicy says who may reach them.
METADATA = ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 (nobody listens here)
_LAST_32_BITS = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one container; `rules` None: every server that is not blocked.

    `own` is where its own server listens, for requests that name no server.
    """

    rules: tuple[Rule, ...] | None
    blocked: tuple[IpNetwork, ...]
    own: str | None = None

    @property
    def allows_self(self) -> bool:
        """Whether guests may send requests to the server that they answer for."""
        return self.rules is None or any(rule.to_self for rule in self.rules)

    def allows(self, target: Target) -> bool:
        """Whether the pod's list has this server; its addresses are another question."""
        return self.rules is None or any(rule.matches(target) for rule in self.rules)

    def blocks(self, address: IpAddress) -> bool:
        """Whether nobody on this node may connect to this address."""
        return any(
            each.version == network.version and each in network
            for each in _meanings(address)
            for network in self.blocked
        )


# Nobody asked for anything: what is run outside of containers.
OPEN = Policy(None, ())


def _meanings(address: IpAddress) -> list[IpAddress]:
    """The addresses at which a connection to this one may arrive."""
    meanings: list[IpAddress] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour
        if embedded is None and (address in _NAT64 or address in _COMPATIBLE):
            embedded = ipaddress.IPv4Address(int(address) & _LAST_32_BITS)
        if embedded is not None:
            meanings.append(embedded)
    # Linux connects to this host where the address is none: ip(7).
    for each in tuple(meanings):
        if each.is_unspecified:
            meanings += [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    return meanings


def policy_of(
    annotations: Mapping[str, str], block: Sequence[str], default: str, listen: str | None = None
) -> Policy:
    """What holds for a container with these annotations, on a node with this `[outbound]`.

    `listen` is the address with a port that it serves at.

    Raises:
        InvalidArgumentError: the annotation is no list of servers.
    """
    text = annotations.get(ANNOTATION)
    if text is not None:
        rules: tuple[Rule, ...] | None = parse_rules(text, f"annotation {ANNOTATION}")
    else:
        rules = () if default == "deny" else None
    return Policy(rules, networks_of(tuple(block)), _own(listen))


def _own(listen: str | None) -> str | None:
    host, _, port = (listen or "").rpartition(":")
    if port in {"", "0"}:
        return None
    return f"{_ANY.get(host, host)}:{port}"


@lru_cache(maxsize=4)
def networks_of(texts: tuple[str, ...]) -> tuple[IpNetwork, ...]:
    """The networks of a block list.

    Raises:
        InvalidArgumentError: one of them is none.
    """
    return tuple(map(parse_network, texts))


def check_settings(block: Sequence[str], default: str, where: str) -> None:
    """Refuse a node's `[outbound]` that means nothing.

    Raises:
        InvalidArgumentError: an entry of `block` is no network, or `default` no word of ours.
    """
    if default not in DEFAULTS:
        raise InvalidArgumentError(f"{where} default is {default[:40]!r}: it is allow or deny")
    try:
        networks_of(tuple(block))
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{where} block: {error}") from None
