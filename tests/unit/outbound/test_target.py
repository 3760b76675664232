"""Targets: one spelling for each server, and every trick refused."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.outbound.target import Target, parse_host, parse_target


@pytest.mark.parametrize(
    ("scheme", "authority", "host", "port", "said"),
    [
        ("http", "example.com", "example.com", 80, "example.com"),
        ("HTTPS", "EXAMPLE.com.", "example.com", 443, "example.com"),
        ("https", "a_b.example:80", "a_b.example", 80, "a_b.example:80"),
        ("http", "10.0.0.1:8080", "10.0.0.1", 8080, "10.0.0.1:8080"),
        ("http", "[2001:DB8:0::1]:80", "2001:db8::1", 80, "[2001:db8::1]"),
        ("http", "[::ffff:127.0.0.1]", "::ffff:7f00:1", 80, "[::ffff:7f00:1]"),
        ("http", "xn--mnchen-3ya.de", "xn--mnchen-3ya.de", 80, "xn--mnchen-3ya.de"),
    ],
)
def test_a_target_is_read(scheme: str, authority: str, host: str, port: int, said: str) -> None:
    target = parse_target(scheme, authority)
    assert (target.host, target.port, target.authority) == (host, port, said)


@pytest.mark.parametrize(
    "authority",
    [
        "", ":80", ".", "a..b", "user@a.b", "u:p@a.b:80", "a.b@169.254.169.254", "a b", "a.b/",
        "a.b#c", "a.b?c", "a.b\\c", "a%2eb", "münchen.de", "a.b:0", "a.b:65536", "a.b:+80", "a.b:",
        "a.b:8 0", "a.b:٨٠", "127.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1",
        "127.0.0.01", "127.0.0.0x1", "1.2.3.4.5", "a.b.1", "1.2.3.4.example.0x", "[::1", "::1",
        "[fe80::1%eth0]", "[fe80::1%25eth0]", "[127.0.0.1]", "[::1]x", "[::1]80", "[v1.x]", "-a.b",
        "a-.b", "a" * 64 + ".b", "a." * 127 + "abc", "a\x00.b", "a\r\n.b", "a\u3002b",
        "\uff11.1.1.1",
    ],
)  # fmt: skip
def test_tricks_are_refused(authority: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_target("http", authority)


@pytest.mark.parametrize("scheme", ["", "ftp", "ws", "http:", "https "])
def test_other_schemes_are_refused(scheme: str) -> None:
    with pytest.raises(InvalidArgumentError, match="neither"):
        parse_target(scheme, "a.b")


@given(st.text(max_size=40))
def test_whatever_is_read_has_one_spelling(text: str) -> None:
    try:
        target = parse_target("http", text)
    except InvalidArgumentError:
        return
    assert parse_target("http", target.authority) == target
    assert target.host.isascii()
    assert target.host == target.host.lower()


@given(st.ip_addresses())
def test_addresses_are_addresses(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    text = f"[{address}]" if address.version == 6 else str(address)
    assert parse_host(text) == (str(address), address)
    assert parse_target("http", text) == Target("http", str(address), 80, address)
