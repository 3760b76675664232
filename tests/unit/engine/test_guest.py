"""What a guest is told, and what it cannot be told."""

from pathlib import Path

import pytest

from shim.engine.guest import Program, check_texts, environment
from shim.errdefs import InvalidArgumentError
from shim.wasm.binary import Kind


def program(args: tuple[str, ...] = (), env: tuple[str, ...] = (), cwd: str = "/") -> Program:
    return Program(Path("/x"), Kind.MODULE, None, args, env, cwd)


def test_environment_is_the_specs() -> None:
    env = ("A=1", "EMPTY=", "B=x=y", "no-value", "A=2")
    assert environment(program(env=env)) == [("A", "1"), ("EMPTY", ""), ("B", "x=y"), ("A", "2")]


def test_environment_tells_the_working_directory() -> None:
    assert environment(program(cwd="/srv")) == [("PWD", "/srv")]
    assert environment(program(env=("PWD=/x",), cwd="/srv")) == [("PWD", "/x")]


@pytest.mark.parametrize("text", ["a\0b", "\udc80"])
def test_texts_that_no_guest_can_get(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"process\.args\[1\]"):
        check_texts(program(args=("x", text)))
    with pytest.raises(InvalidArgumentError, match=r"process\.env\[0\]"):
        check_texts(program(env=(f"A={text}",)))
