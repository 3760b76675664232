"""The allow-list: each form of an entry, what it matches, and what it cannot mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.outbound.rules import parse_network, parse_rules
from shim.outbound.target import PORTS, parse_target


def allowed(rules: str, url: str) -> bool:
    scheme, _, authority = url.partition("://")
    target = parse_target(scheme, authority, tuple(PORTS))
    return any(rule.matches(target) for rule in parse_rules(rules, "here"))


@pytest.mark.parametrize(
    ("rules", "yes", "no"),
    [
        ("http://a.b", "http://a.b", "https://a.b"),
        ("http://a.b", "http://A.B.:80", "http://a.b:81"),
        ("https://a.b/", "https://a.b", "https://x.a.b"),
        ("*://a.b", "https://a.b", "https://a.c"),
        ("*://a.b", "http://a.b:9999", "http://b"),
        ("http://*.a.b", "http://x.y.a.b", "http://a.b"),
        ("http://*.a.b", "http://x.a.b", "http://xa.b"),
        ("http://*", "http://anything", "http://anything:81"),
        ("*://*:*", "https://[::1]:5", ""),
        ("http://a:8000..8010", "http://a:8009", "http://a:8010"),
        ("http://a:*", "http://a:65535", "https://a"),
        ("http://10.0.0.0/8", "http://10.255.0.1", "http://11.0.0.1"),
        ("http://10.0.0.0/8:8080", "http://10.1.2.3:8080", "http://10.1.2.3"),
        ("http://10.0.0.0/8", "http://10.0.0.1", "http://ten.example"),
        ("http://[2001:db8::]/32:*", "http://[2001:db8::5]:1", "http://[2001:db9::5]:1"),
        ("http://2001:db8::/32", "http://[2001:db8::5]", "http://1.2.3.4"),
        ("http://[::1]:80", "http://[0:0::1]", "http://[::2]"),
        ("http://a, https://b\n http://c", "http://c", "http://b"),
        ("self", "", ""),
        ("", "", "http://a"),
        ("*://self", "", "http://self"),
        ("redis://a", "redis://a:6379", "rediss://a"),
        ("rediss://a:7000", "rediss://a:7000", "rediss://a"),
        ("*://a:*", "redis://a", "redis://b"),
    ],
)
def test_entries_match(rules: str, yes: str, no: str) -> None:
    if rules == "self":
        with pytest.raises(InvalidArgumentError, match="no ://"):
            parse_rules(rules, "here")
        return
    assert not yes or allowed(rules, yes)
    assert not no or not allowed(rules, no)


def test_self_is_its_own_kind() -> None:
    (rule,) = parse_rules("http://self", "here")
    assert rule.to_self


@pytest.mark.parametrize(
    "entry",
    [
        "a.b", "ftp://a", "://a", "http://", "http://a/path", "http://a:80/path", "http://a:0",
        "http://a:70000", "http://a:9..8", "http://a:8..8", "http://a:8..", "http://a*.b",
        "http://*.*.b", "http://*.10.0.0.1", "http://10.0.0.1/8", "http://10.0.0.0/33", "http://10/8",
        "http://10.0.0.0/255.0.0.0", "http://u@a", "http://self:80", "http://{a}", "http://münchen.de",
        "http://127.1", "http://[fe80::1%1]", "http://a:80:80", "http://*.", "http://[::]/x",
    ],
)  # fmt: skip
def test_what_an_entry_cannot_mean_is_an_error(entry: str) -> None:
    with pytest.raises(InvalidArgumentError, match="here: entry"):
        parse_rules(f"http://good, {entry}", "here")


def test_lists_have_an_end() -> None:
    with pytest.raises(InvalidArgumentError, match="more than"):
        parse_rules("http://a " * 1001, "here")


@given(st.text(alphabet="htps:/*.a0123456789[]{}%@x,- \n", max_size=60))
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        rules = parse_rules(text, "here")
    except InvalidArgumentError:
        return
    for rule in rules:
        assert 1 <= rule.first <= rule.last <= 65535


@given(st.text(alphabet="0123456789abcdef:./%", max_size=30))
def test_networks_are_networks(text: str) -> None:
    try:
        network = parse_network(text)
    except InvalidArgumentError:
        return
    assert parse_network(str(network)) == network
