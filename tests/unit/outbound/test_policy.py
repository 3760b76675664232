"""What holds for a container: its list, the node's, and what an address hides."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.outbound.policy import ANNOTATION, METADATA, Policy, check_settings, policy_of
from shim.outbound.target import parse_target


def blocking(*networks: str) -> Policy:
    return policy_of({}, networks, "allow")


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("169.254.169.254/32", "169.254.169.254"),
        ("169.254.169.254", "::ffff:169.254.169.254"),
        ("169.254.0.0/16", "64:ff9b::a9fe:a9fe"),
        ("169.254.0.0/16", "2002:a9fe:a9fe::"),
        ("169.254.0.0/16", "::169.254.169.254"),
        ("127.0.0.0/8", "0.0.0.0"),
        ("127.0.0.0/8", "::"),
        ("127.0.0.0/8", "::ffff:0.0.0.0"),
        ("::1/128", "::"),
        ("::1/128", "0.0.0.0"),
        ("fd00:ec2::/32", "fd00:ec2::254"),
    ],
)
def test_addresses_cannot_hide(network: str, address: str) -> None:
    assert blocking(network).blocks(ipaddress.ip_address(address))


def test_clouds_metadata_is_blocked_by_itself_and_services_are_not() -> None:
    policy = policy_of({}, METADATA, "allow")
    for address in ("169.254.169.254", "fd00:ec2::254", "fe80::a9fe:a9fe", "100.100.100.200"):
        assert policy.blocks(ipaddress.ip_address(address))
    for address in ("10.96.0.1", "192.168.1.1", "172.16.0.1", "127.0.0.1", "fd12::1", "8.8.8.8"):
        assert not policy.blocks(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_ipv4_in_ipv6_is_judged_as_ipv4(address: ipaddress.IPv4Address, bits: int) -> None:
    network = ipaddress.ip_network((address, bits), strict=False)
    policy = blocking(str(network))
    assert policy.blocks(address)
    assert policy.blocks(ipaddress.ip_address(f"::ffff:{address}"))


def test_without_an_annotation_the_nodes_default_holds() -> None:
    target = parse_target("http", "a.b")
    assert policy_of({}, (), "allow").allows(target)
    assert policy_of({}, (), "allow").allows_self
    assert not policy_of({}, (), "deny").allows(target)
    assert not policy_of({}, (), "deny").allows_self


def test_an_annotation_wins_over_the_default_and_not_over_the_block() -> None:
    policy = policy_of({ANNOTATION: "http://10.0.0.1, http://self"}, ("10.0.0.0/8",), "deny")
    assert policy.allows(parse_target("http", "10.0.0.1"))
    assert policy.allows_self
    assert policy.blocks(ipaddress.ip_address("10.0.0.1"))
    assert not policy_of({ANNOTATION: ""}, (), "allow").allows(parse_target("http", "a.b"))


@pytest.mark.parametrize(
    ("listen", "own"),
    [
        (None, None),
        ("127.0.0.1:0", None),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        ("[::]:81", "[::1]:81"),
        ("10.1.2.3:80", "10.1.2.3:80"),
    ],
)
def test_its_own_server(listen: str | None, own: str | None) -> None:
    assert policy_of({}, (), "allow", listen).own == own


def test_mistakes_are_told() -> None:
    with pytest.raises(InvalidArgumentError, match=f"annotation {ANNOTATION}: entry 'a.b'"):
        policy_of({ANNOTATION: "a.b"}, (), "allow")
    with pytest.raises(InvalidArgumentError, match="default is 'no': it is allow or deny"):
        check_settings((), "no", "x")
    with pytest.raises(InvalidArgumentError, match="x block: '10/8' is no network"):
        check_settings(("10/8",), "allow", "x")
