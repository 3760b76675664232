"""CGI: several programs under routes of their own in one server, through sockets."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from shim.engine.cgi.handlers import Handler
from shim.engine.cgi.routes import Route
from shim.engine.code import Code
from shim.engine.guest import Program
from tests.support import cgi_guest, engine_runs, guests
from tests.support.http_server import Serving, body_of, serving

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("modules")
    cache = engine_runs.new_cache(folder / "cache", code=Code.INTERRUPTIBLE)

    def program(number: int, module: str | Path, *env: str) -> Program:
        path = engine_runs.write_module(folder, module, f"{number}.wasm")
        return engine_runs.program(engine_runs.load(path, cache), "own", env=env)

    first = program(1, cgi_guest.program())
    second = program(2, cgi_guest.second(), "MODE=two")
    handlers = (
        Handler(Route("/..."), first),
        Handler(Route("/second/..."), second),
        Handler(Route("/second/words"), second, ("ruby", "${SCRIPT_NAME}", "${ARGS}")),
        Handler(Route("/greet"), replace(second, function="greet")),
        Handler(Route("/component"), program(3, cgi_guest.component())),
    )
    with serving(folder, cgi_guest.program(), cgi=handlers, timeout_s=2) as one:
        yield one
        assert one.end() == 0


def test_each_route_has_its_program(server: Serving) -> None:
    assert body_of(server.get("/x")) == b"path /x\n"
    assert body_of(server.get("/secondary")) == b"path /secondary\n"
    assert body_of(server.get("/greet")) == b"greetings from the second\n"
    assert body_of(server.get("/greet/x")) == b"path /greet/x\n"
    assert body_of(server.get("/component")) == b"hello\n"
    assert body_of(server.get("/second/a%20b?x=1&-y")).decode().splitlines() == [
        "argument /second",
        "argument own",
        "argument x=1",
        "MODE=two",
        "OWN=(none)",
        "SCRIPT_NAME=/second",
        "PATH_INFO=/a b",
        "X_MATCHED_ROUTE=/second/...",
    ]


def test_arguments_that_a_module_wants(server: Serving) -> None:
    lines = body_of(server.get("/second/words?a=1&-c&b")).decode().splitlines()
    assert [line for line in lines if line.startswith("argument")] == [
        "argument ruby",
        "argument /second/words",
        "argument a=1",
        "argument b",
    ]
    assert lines[-1] == "X_MATCHED_ROUTE=/second/words"


def test_duplicate_fields_are_kept(server: Serving) -> None:
    answer = server.get("/second")
    assert answer.count(b"set-cookie: ") == 2


def test_a_program_that_fails_leaves_the_others(server: Serving) -> None:
    assert b" 500 " in server.get("/trap").partition(b"\r\n")[0]
    assert b" 504 " in server.get("/loop").partition(b"\r\n")[0]
    assert body_of(server.get("/greet")) == b"greetings from the second\n"


def test_no_route_is_404(tmp_path: Path) -> None:
    cache = engine_runs.new_cache(tmp_path / "cache", code=Code.INTERRUPTIBLE)
    module = engine_runs.write_module(tmp_path, cgi_guest.second(), "second.wasm")
    program = engine_runs.program(engine_runs.load(module, cache))
    handlers = (Handler(Route("/a"), program), Handler(Route("/b/..."), program))
    with serving(tmp_path, cgi_guest.second(), cgi=handlers) as one:
        for path in ("/", "/a/", "/a/b", "/bc", "/c"):
            assert one.get(path).startswith(b"HTTP/1.1 404 "), path
        assert one.get("/b").startswith(b"HTTP/1.1 200 ")


def test_which_route_has_no_program(tmp_path: Path) -> None:
    cache = engine_runs.new_cache(tmp_path / "cache", code=Code.INTERRUPTIBLE)
    good = engine_runs.load(engine_runs.write_module(tmp_path, cgi_guest.second(), "a.wasm"), cache)
    bad = engine_runs.load(engine_runs.write_module(tmp_path, guests.REACTOR, "b.wasm"), cache)
    handlers = (
        Handler(Route("/good"), engine_runs.program(good)),
        Handler(Route("/bad/..."), engine_runs.program(bad)),
    )
    with serving(tmp_path, cgi_guest.second(), cgi=handlers) as one:
        assert one.status == 137
        assert "route /bad/...: module exports no function '_start'" in one.log
