"""What a pod's annotations may say of configuration and stores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.stores.options import (
    GuestOptions,
    RedisPlace,
    SqlitePlace,
    guest_options,
    parse_place,
)

P = "io.containerd.tandem.v1/"


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
        stores=(("cache", RedisPlace("cache")), ("default", SqlitePlace("/data/x.db"))),
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
        ("keyvalue.a", "rediss://x", "a store is sqlite:/PATH or redis://"),
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
        ("redis://h", RedisPlace("h")),
        ("redis://h:1/15", RedisPlace("h", 1, 15)),
        ("redis://h/", RedisPlace("h")),
        ("redis://[::1]:2", RedisPlace("::1", 2)),
        ("redis://:p%40ss@h", RedisPlace("h", password="p@ss")),
        ("redis://u:p@h", RedisPlace("h", username="u", password="p")),
        (
            "redis://u@h/1?password-file=/run/p",
            RedisPlace("h", database=1, username="u", password_file="/run/p"),
        ),
    ],
)
def test_places(text: str, place: object) -> None:
    assert parse_place(text, "x") == place


@given(st.text())
def test_any_text_is_a_place_or_refused(text: str) -> None:
    for prefix in ("", "sqlite:", "redis://"):
        try:
            parse_place(prefix + text, "x")
        except InvalidArgumentError:
            continue
