"""Which paths a route takes, which of several routes, and what an annotation may say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.engine.cgi.routes import ANNOTATION, Route, RouteTable, cgi_route
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


def test_of_several_a_path_wins_and_then_the_longest() -> None:
    texts = ["/...", "/a", "/a/...", "/a/b/...", "/a/b", "/a/bc"]
    table = RouteTable([Route(text) for text in texts])
    found = {
        path: texts[match[0]]
        for path in ("/", "/x", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/a/bc", "/a/bcd", "/ab")
        if (match := table.find(path.encode()))
    }
    assert found == {
        "/": "/...",
        "/x": "/...",
        "/a": "/a",
        "/a/": "/a/...",
        "/a/b": "/a/b",
        "/a/b/": "/a/b/...",
        "/a/b/c": "/a/b/...",
        "/a/bc": "/a/bc",
        "/a/bcd": "/a/...",
        "/ab": "/...",
    }
    assert RouteTable([Route("/a"), Route("/b/...")]).find(b"/a/b") is None
    assert RouteTable([]).find(b"/") is None


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", "", "..", "%2e"]), max_size=4)
PATHS = SEGMENTS.map(lambda segments: "/" + "/".join(segments))
ROUTES = st.builds(lambda path, end: path + end, PATHS, st.sampled_from(["", "/..."]))


@given(st.lists(ROUTES, unique=True, max_size=8), PATHS)
def test_the_table_finds_the_best_of_what_matches(texts: list[str], path: str) -> None:
    """As trying all of them would."""
    routes = [Route(text) for text in texts]
    matching = [n for n, route in enumerate(routes) if route.match(path.encode()) is not None]
    best = max(matching, key=lambda n: (routes[n].is_exact, len(texts[n])), default=None)
    found = RouteTable(routes).find(path.encode())
    assert (None if found is None else found[0]) == best
    if found is not None:
        number, script, rest = found
        assert routes[number].match(path.encode()) == (script, rest)
        assert script + rest == path.encode()
