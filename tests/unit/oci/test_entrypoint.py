"""The entry point: a path, and perhaps a function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, ShimError
from shim.oci.entrypoint import Entrypoint, parse_entrypoint


@pytest.mark.parametrize(
    ("argument", "path", "function"),
    [
        ("/app.wasm", "/app.wasm", None),
        ("app.wasm#run", "app.wasm", "run"),
        ("/a#b#c", "/a", "b#c"),
        ("/app.wasm#_start", "/app.wasm", "_start"),
        ("#init", "", "init"),
    ],
)
def test_entrypoint_forms(argument: str, path: str, function: str | None) -> None:
    assert parse_entrypoint([argument, "more#args"]) == Entrypoint(path, function)


@pytest.mark.parametrize("args", [[], [""], ["", "x"], ["/app.wasm#"], ["#"]])
def test_entrypoint_refuses_what_names_nothing(args: list[str]) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_entrypoint(args)


@given(st.lists(st.text()))
def test_entrypoint_raises_only_our_errors(args: list[str]) -> None:
    try:
        entrypoint = parse_entrypoint(args)
    except ShimError:
        return
    assert args[0] == entrypoint.path + (f"#{entrypoint.function}" if entrypoint.function else "")
