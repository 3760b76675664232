"""The command line of `tandem run`: forms, refusals, and back again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.runner.options import (
    Directory,
    RunOptions,
    UsageError,
    parse_directory,
    parse_duration,
    parse_size,
    parse_user,
    parse_words,
)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        (["a.wasm"], RunOptions(target="a.wasm")),
        (["--", "-x"], RunOptions(target="-x")),
        (["-"], RunOptions(target="-")),
        (["a", "--env", "-x", "--"], RunOptions(target="a", args=("--env", "-x", "--"))),
        (["-e", "A=1", "-eB", "--env=C=", "a"], RunOptions(target="a", env=("A=1", "B", "C="))),
        (["--memory", "64Mi", "a"], RunOptions(target="a", memory_bytes=64 << 20)),
        (["-m1g", "-t", "500ms", "a"], RunOptions(target="a", memory_bytes=1 << 30, timeout_s=0.5)),
        (["--read-only", "-u", "7", "a"], RunOptions(target="a", read_only=True, user=(7, 7))),
        (["-w", "//x/../y", "a"], RunOptions(target="a", workdir="/y")),
        (
            ["--layer", "/l", "--layer=/m", "--entrypoint", "x#f", "--", "", "b"],
            RunOptions(layers=("/l", "/m"), entrypoint="x#f", args=("b",)),
        ),
        (["--name", "n", "--function", "f", "a"], RunOptions("a", name="n", function="f")),
    ],
)
def test_command_line(words: list[str], options: RunOptions) -> None:
    assert parse_words(words) == options
    assert parse_words(options.words()) == options


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to run"),
        (["--"], "nothing to run"),
        (["--", ""], "nothing to run"),
        (["--read-only"], "nothing to run"),
        (["-x", "a"], "no such option: -x"),
        (["--environment=A", "a"], "no such option: --environment"),
        (["--read-only=no", "a"], "no such option: --read-only"),
        (["--env"], "option --env needs a value"),
        (["-e"], "option -e needs a value"),
        (["-w", "x", "a"], "is not an absolute path"),
        (["-e", "=1", "a"], "names no variable"),
    ],
)
def test_refused_command_line(words: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_words(words)


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ("/a", Directory("/a", "/a")),
        ("/a/", Directory("/a/", "/a")),
        ("a/b", Directory("a/b", "/a/b")),
        (".", Directory(".", "/")),
        ("./a/..", Directory("./a/..", "/")),
        ("..:/b", Directory("..", "/b")),
        ("a:/b:ro", Directory("a", "/b", read_only=True)),
        ("a:/b/../c/:rw", Directory("a", "/c")),
        ("a:/", Directory("a", "/")),
    ],
)
def test_directory(text: str, directory: Directory) -> None:
    assert parse_directory(text) == directory


@pytest.mark.parametrize("text", ["", ":", ":/b", "a:", "a:b", "a::b", "a:/b:r", "a:/b:ro:", ".."])
def test_refused_directory(text: str) -> None:
    with pytest.raises(UsageError, match="--dir"):
        parse_directory(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("67108864", 64 << 20),
        ("64Mi", 64 << 20),
        ("64m", 64 << 20),
        ("64MB", 64 << 20),
        ("64MiB", 64 << 20),
        ("1.5g", 3 << 29),
        ("2048k", 2 << 20),
        ("1T", 1 << 40),
    ],
)
def test_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "1k", "-1m", "64 Mi", "64Xi", "m", "1e9", "nan", "٣m"])
def test_refused_size(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("5s", 5), ("0.5s", 0.5), ("250ms", 0.25), ("2m", 120)]
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0ms", "-1s", "5 s", "1h30m", "inf", "s"])
def test_refused_duration(text: str) -> None:
    with pytest.raises(UsageError, match="--timeout"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "root", "1:", "-1", "1:x", "4294967295", "1:2:3", ":1"])
def test_refused_user(text: str) -> None:
    if text == "1:":
        assert parse_user(text) == (1, 1)
        return
    with pytest.raises(UsageError, match="--user"):
        parse_user(text)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(
    target=texts.filter(bool),
    args=st.lists(texts),
    env=st.lists(texts.filter(lambda text: text.partition("=")[0])),
    timeout_ms=st.none() | st.integers(1, 10**9),
    memory=st.none() | st.integers(1 << 20, 1 << 50),
)
def test_words_say_what_they_were_made_of(
    target: str, args: list[str], env: list[str], timeout_ms: int | None, memory: int | None
) -> None:
    options = RunOptions(
        target=target,
        args=tuple(args),
        env=tuple(env),
        timeout_s=None if timeout_ms is None else timeout_ms * 0.001,
        memory_bytes=memory,
    )
    assert parse_words(options.words()) == options


@given(st.lists(texts))
def test_anything_else_is_a_usage_error(words: list[str]) -> None:
    try:
        options = parse_words(words)
    except UsageError:
        return
    assert parse_words(options.words()) == options
