"""What a pod's annotations may say of configuration and stores."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, PermissionDeniedError
from shim.outbound.policy import ANNOTATION, METADATA, policy_of
from shim.outbound.target import REDIS, parse_target
from shim.stores.options import (
    GuestOptions,
    RedisPlace,
    SqlitePlace,
    check_reach,
    guest_options,
    parse_place,
)

P = "io.containerd.tandem.v1/"


def redis(authority: str, scheme: str = "redis", **rest: Any) -> RedisPlace:
    return RedisPlace(parse_target(scheme, authority, REDIS), **rest)


def test_annotations_are_read() -> None:
    options = guest_options(
        {
            f"{P}config.db.host": "x",
            f"{P}config.empty": "",
            f"{P}config-directory": "/etc/a:/etc/b",
            f"{P}keyvalue.default": "sqlite:/data/x.db",
            f"{P}keyvalue.cache": "redis://cache",
            f"{P}http-listen": "of somebody else",
            "other/config.x": "y",
        },
        77,
    )
    assert options == GuestOptions(
        values=(("db.host", "x"), ("empty", "")),
        directories=("/etc/a", "/etc/b"),
        stores=(("cache", redis("cache")), ("default", SqlitePlace("/data/x.db"))),
        max_value_bytes=77,
    )


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("config.", "x", "lacks a name"),
        ("keyvalue.", "sqlite:/x", "lacks a name"),
        ("config-directory", "etc", "'etc' is not an absolute path"),
        ("config-directory", "/etc:", "'' is not an absolute path"),
        ("keyvalue.a", "", "a store is sqlite:/PATH or redis://"),
        ("keyvalue.a", "sqlite:x.db", "'x.db' is not an absolute path"),
        ("keyvalue.a", "sqlite:/data/", "'/data/' is not an absolute path"),
        ("keyvalue.a", "valkey://x", "a store is sqlite:/PATH or redis://"),
        ("keyvalue.a", "redis:x", "a store is sqlite:/PATH or redis://"),
        ("keyvalue.a", "redis://127.1", "'127.1' is no IP address"),
        ("keyvalue.a", "redis://:secret@a b", "host 'a b' is no name"),
        ("keyvalue.a", "redis://h:0", "port '0' is no number from 1 to 65535"),
        ("keyvalue.a", "redis://", "has no host"),
        ("keyvalue.a", "redis://h:99999", "is no URL"),
        ("keyvalue.a", "redis://h/x", "database 'x' is not a number"),
        ("keyvalue.a", "redis://h/0?ssl=1", "the one parameter is password-file"),
        ("keyvalue.a", "redis://h?password-file=x", "'x' is not an absolute path"),
        ("keyvalue.a", "redis://:secret@h?password-file=/x", "a password and a password-file"),
        ("keyvalue.a", "redis://[::1", "is no URL"),
    ],
)
def test_mistakes_are_named(name: str, value: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"annotation {P}{name}.*") as caught:
        guest_options({P + name: value}, 1)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("sqlite:/a/b c.db", SqlitePlace("/a/b c.db")),
        ("redis://h", redis("h")),
        ("redis://H.:1/15", redis("h:1", database=15)),
        ("redis://h/", redis("h")),
        ("redis://h:", redis("h")),
        ("redis://[0::1]:2", redis("[::1]:2")),
        ("rediss://h", redis("h", "rediss")),
        ("redis://:p%40ss@h", redis("h", password="p@ss")),
        ("redis://u:p@h", redis("h", username="u", password="p")),
        (
            "redis://u@h/1?password-file=/run/p",
            redis("h", database=1, username="u", password_file="/run/p"),
        ),
    ],
)
def test_places(text: str, place: object) -> None:
    assert parse_place(text, "x") == place


@pytest.mark.parametrize(
    ("place", "allowed", "reason"),
    [
        ("redis://h", None, None),
        ("redis://h", "redis://h", None),
        ("redis://h:1", "*://h:*", None),
        ("rediss://10.0.0.1", "rediss://10.0.0.0/8", None),
        ("sqlite:/x", "", None),
        ("redis://h", "", "redis://h is not in"),
        ("redis://h", "https://h rediss://h redis://h:6380", "redis://h is not in"),
        ("rediss://h", "redis://*:*", "rediss://h is not in"),
        ("redis://169.254.169.254", "*://*:*", "redis://169.254.169.254 is what the node blocks"),
        ("redis://[::ffff:169.254.1.1]:9", None, "is what the node blocks"),
    ],
)
def test_stores_out_of_reach_are_named(place: str, allowed: str | None, reason: str | None) -> None:
    options = guest_options({f"{P}keyvalue.a": place}, 1)
    policy = policy_of({} if allowed is None else {ANNOTATION: allowed}, METADATA, "allow")
    if reason is None:
        check_reach(options, policy)
        return
    with pytest.raises(PermissionDeniedError) as caught:
        check_reach(options, policy)
    assert str(caught.value).startswith(f"annotation {P}keyvalue.a: redis")
    assert reason in str(caught.value)


@given(st.text())
def test_any_text_is_a_place_or_refused(text: str) -> None:
    for prefix in ("", "sqlite:", "redis://", "rediss://"):
        try:
            parse_place(prefix + text, "x")
        except InvalidArgumentError:
            continue
