"""What a CGI program is told, and what no client can make it believe."""

from typing import Any

import pytest

from shim.engine.cgi.routes import Route, RouteTable
from shim.engine.cgi.variables import Target, arguments, find_target, variables
from shim.engine.http.exchange import Request
from shim.engine.http.fields import Field

ROUTE = Route("/app/...")
ROUTES = RouteTable([ROUTE])
ENDS = (("10.0.0.1", 40000), ("10.0.0.2", 8080))


def request(target: bytes = b"/app/x?q=1", *fields: Field, **more: Any) -> Request:
    known: dict[str, Any] = {"method": b"GET", "authority": b"web.example:81", "body": b""}
    return Request(target=target, fields=fields, source=b"i", sink=b"o", **{**known, **more})


def told(asked: Request, own: tuple[tuple[str, str], ...] = (), ends: Any = ENDS) -> dict[str, str]:
    target = find_target(asked, ROUTES)
    assert isinstance(target, Target)
    found = variables(asked, target, ROUTE, ends, own)
    assert len(dict(found)) == len(found)
    return {name.decode(): value.decode() for name, value in found}


def test_everything() -> None:
    asked = request(
        b"/app/a%20b/..?x=%20&y",
        (b"content-type", b"text/plain"),
        (b"content-length", b"4"),
        (b"accept", b"*/*"),
        method=b"POST",
        body=b"body",
        protocol=b"HTTP/1.0",
    )
    assert told(asked) == {
        "AUTH_TYPE": "",
        "CONTENT_LENGTH": "4",
        "CONTENT_TYPE": "text/plain",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "HTTP_ACCEPT": "*/*",
        "HTTP_CONTENT_LENGTH": "4",
        "HTTP_CONTENT_TYPE": "text/plain",
        "HTTP_HOST": "web.example:81",
        "PATH_INFO": "/a b/..",
        "PATH_TRANSLATED": "/a b/..",
        "QUERY_STRING": "x=%20&y",
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_HOST": "10.0.0.1",
        "REMOTE_PORT": "40000",
        "REMOTE_USER": "",
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/app",
        "SERVER_NAME": "web.example",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.0",
        "SERVER_SOFTWARE": "Tandem",
        "X_FULL_URL": "http://web.example:81/app/a%20b/..?x=%20&y",
        "X_MATCHED_ROUTE": "/app/...",
        "X_RAW_PATH_INFO": "/a%20b/..",
    }


def test_lengths() -> None:
    assert told(request())["CONTENT_LENGTH"] == "0"
    assert told(request(body=b"whole"))["CONTENT_LENGTH"] == "5"
    streamed = request(b"/app/", (b"content-length", b"900"), body=None)
    assert told(streamed)["CONTENT_LENGTH"] == "900"
    assert "CONTENT_LENGTH" not in told(request(body=None)), "chunked: it reads to the end"


def test_fields_that_are_withheld() -> None:
    found = told(
        request(
            b"/app/",
            (b"proxy", b"evil:80"),
            (b"authorization", b"Basic x"),
            (b"x_real_user", b"root"),
            (b"x.y", b"z"),
            (b"x-real-user", b"me"),
        )
    )
    assert {name for name in found if name.startswith("HTTP_")} == {"HTTP_HOST", "HTTP_X_REAL_USER"}
    assert found["HTTP_X_REAL_USER"] == "me"


def test_fields_that_come_twice() -> None:
    fields = ((b"a", b"1"), (b"cookie", b"x=1"), (b"a", b"2"), (b"cookie", b"y=2"))
    found = told(request(b"/app/", *fields))
    assert (found["HTTP_A"], found["HTTP_COOKIE"]) == ("1, 2", "x=1; y=2")


def test_whose_variable_wins() -> None:
    own = (("HTTP_PORT", "tcp://1"), ("SERVER_PORT", "tcp://2"), ("HTTP_PROXY", "ours"), ("A", "b"))
    found = told(request(b"/app/", (b"port", b"evil"), (b"proxy", b"evil")), own)
    assert found["HTTP_PORT"] == "tcp://1", "a service named http has it"
    assert found["SERVER_PORT"] == "8080"
    assert found["HTTP_PROXY"] == "ours"
    assert found["A"] == "b"


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        (b"h", "h"),
        (b"h:", "h"),
        (b"h:80", "h"),
        (b"[::1]", "[::1]"),
        (b"[::1]:80", "[::1]"),
        (b"", "10.0.0.2"),
        (None, "10.0.0.2"),
    ],
)
def test_the_servers_name(authority: bytes | None, name: str) -> None:
    found = told(request(authority=authority))
    assert found["SERVER_NAME"] == name
    assert ("HTTP_HOST" in found) == (authority is not None)


def test_addresses_of_ipv4_on_ipv6() -> None:
    ends = (("::ffff:10.0.0.1", 1), ("::1", 2))
    assert told(request(), ends=ends)["REMOTE_ADDR"] == "10.0.0.1"


def test_what_is_no_unicode_is_replaced() -> None:
    found = told(request(b"/app/%ff", (b"a", b"\xff")))
    assert (found["HTTP_A"], found["PATH_INFO"]) == ("�", "/�")


@pytest.mark.parametrize(
    ("target", "status"), [(b"/other", 404), (b"/app/a%00b", 400), (b"/apple", 404)]
)
def test_targets_that_are_refused(target: bytes, status: int) -> None:
    assert find_target(request(target), ROUTES) == status


def test_arguments_are_the_querys_parts_and_no_options() -> None:
    target = find_target(request(b"/app/x?a=b&&-c&d%20e&--f"), ROUTES)
    assert isinstance(target, Target)
    assert arguments(target, ("own", "-o")) == [b"/app", b"own", b"-o", b"a=b", b"d%20e"]


def test_the_root_script_has_a_name() -> None:
    target = find_target(request(b"/x"), RouteTable([Route("/...")]))
    assert isinstance(target, Target)
    assert arguments(target, ()) == [b"/"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("a", "${SCRIPT_NAME}", "${ARGS}", "z"), [b"a", b"/app", b"a=b", b"c", b"z"]),
        (("--at=${SCRIPT_NAME}${SCRIPT_NAME}",), [b"--at=/app/app"]),
        (("plain",), [b"plain"]),
    ],
)
def test_a_program_that_wants_other_arguments(
    words: tuple[str, ...], expected: list[bytes]
) -> None:
    """No part of a query becomes an option there, either."""
    target = find_target(request(b"/app/x?a=b&-c&c"), ROUTES)
    assert isinstance(target, Target)
    assert arguments(target, ("own",), words) == expected
