"""Paths of foreign documents."""

import contextlib
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.oci.paths import safe_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a", "a"),
        ("/a/b", "a/b"),
        ("./a//b/./c/", "a/b/c"),
        ("...", "..."),
        ("é" * 127, "é" * 127),
        ("not-\udcff-utf8", "not-\udcff-utf8"),
    ],
)
def test_safe(text: str, path: str) -> None:
    assert safe_path(text, "file") == path


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no file"),
        ("/", "names no file"),
        ("./.", "names no file"),
        ("a\0b", "names no file"),
        ("\ud800", "names no file"),
        ("..", "leads upwards"),
        ("a/../b", "leads upwards"),
        ("é" * 128, "too long"),
        ("a/" * 2048, "too long"),
        ("a/" * 129, "deep"),
    ],
)
def test_unsafe(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^file: path .* {problem}"):
        safe_path(text, "file")


@given(st.text(st.sampled_from("./a\0\ud800é")))
def test_what_is_safe_stays_below(text: str) -> None:
    with contextlib.suppress(InvalidArgumentError):
        path = safe_path(text, "file")
        assert posixpath.normpath(f"/root/{path}").startswith("/root/")
