"""Each containerd reads the form that it knows."""

import json

import pytest

from shim.daemon.reply import Caller, encode_address

ADDRESS = "unix:///run/tandem/s/0123"


@pytest.mark.parametrize(
    ("env", "version"),
    [
        ({}, None),
        ({"MAX_SHIM_VERSION": ""}, None),
        ({"MAX_SHIM_VERSION": "new"}, None),
        ({"MAX_SHIM_VERSION": "-2"}, None),
        ({"MAX_SHIM_VERSION": "2"}, 2),
        ({"MAX_SHIM_VERSION": "3"}, 3),
    ],
)
def test_caller_reads_its_version(env: dict[str, str], version: int | None) -> None:
    assert Caller.from_env(env) == Caller(version)


@pytest.mark.parametrize("version", [None, 0, 1])
def test_address_is_bare_for_an_old_containerd(version: int | None) -> None:
    assert encode_address(ADDRESS, Caller(version)) == ADDRESS.encode()


@pytest.mark.parametrize("version", [2, 3, 9])
def test_address_is_json_for_a_newer_one(version: int) -> None:
    reply = json.loads(encode_address(ADDRESS, Caller(version)))
    assert reply == {"version": 2, "address": ADDRESS, "protocol": "ttrpc"}
