"""Each containerd reads the form that it knows."""

import json
from pathlib import Path

import pytest

from shim.daemon.reply import Caller, decode_address, encode_address, encode_grpc_address

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


@pytest.mark.parametrize("version", [None, 1, 2, 3])
def test_only_who_knows_versions_reads_json(version: int | None) -> None:
    assert Caller(version).reads_json == (version in {2, 3})


def test_grpc_address_is_a_path_without_a_scheme() -> None:
    reply = json.loads(encode_grpc_address(Path("/run/tandem/s/0123.grpc")))
    assert reply == {"version": 2, "address": "/run/tandem/s/0123.grpc", "protocol": "grpc"}


def test_address_file_names_the_task_socket_in_each_form() -> None:
    path = Path("/run/tandem/s/0123")
    assert decode_address(ADDRESS) == path
    assert decode_address(encode_grpc_address(Path(f"{path}.grpc")).decode()) == path


@pytest.mark.parametrize("text", ["{", "{}", '{"address": 1}', '{"address": null}'])
def test_address_file_that_nobody_wrote_names_nothing(text: str) -> None:
    assert decode_address(text) is None
