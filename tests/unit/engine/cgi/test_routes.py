"""Which paths a route takes, and what an annotation may say."""

import pytest

from shim.engine.cgi.routes import ANNOTATION, Route, cgi_route
from shim.errdefs import InvalidArgumentError


@pytest.mark.parametrize(
    ("route", "path", "found"),
    [
        ("/...", b"/", (b"", b"/")),
        ("/...", b"/a/b", (b"", b"/a/b")),
        ("/...", b"*", None),
        ("/a/...", b"/a", (b"/a", b"")),
        ("/a/...", b"/a/", (b"/a", b"/")),
        ("/a/...", b"/a/b/../c", (b"/a", b"/b/../c")),
        ("/a/...", b"/ab", None),
        ("/a/...", b"/", None),
        ("/a", b"/a", (b"/a", b"")),
        ("/a", b"/a/b", None),
        ("/", b"/", (b"/", b"")),
        ("/", b"/a", None),
    ],
)
def test_paths(route: str, path: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert Route(route).match(path) == found


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("", None),
        ("false", None),
        ("true", "/..."),
        ("/...", "/..."),
        ("/a/...", "/a/..."),
        ("/a.cgi", "/a.cgi"),
    ],
)
def test_annotations(text: str, route: str | None) -> None:
    assert cgi_route({ANNOTATION: text}) == (route and Route(route))


def test_no_annotation() -> None:
    assert cgi_route({}) is None


@pytest.mark.parametrize(
    "text", ["yes", "a/...", "/a?b", "/a#b", "/.../a", "/a...", "/a b", "/ä", "/a/..././..."]
)
def test_annotations_that_mean_nothing(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="and neither a route"):
        cgi_route({ANNOTATION: text})
