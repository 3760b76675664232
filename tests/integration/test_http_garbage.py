"""What a request needs is freed with it: nothing waits for Python's collector, which comes late."""

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import cgi_guest, http_guest
from tests.support.http_server import Serving, ask, get, read_all, serving

pytestmark = pytest.mark.root

_REQUESTS = 200
_TESTS = os.getpid()


def tell(phase: str, info: dict[str, int]) -> None:
    """Write how many objects in cycles a collection found to the server's log (gc.callbacks)."""
    if phase == "stop" and os.getpid() != _TESTS:
        os.write(2, b"collected %d\n" % info["collected"])


@contextmanager
def serving_with_statistics(folder: Path, program: Any, **options: Any) -> Iterator[Serving]:
    """A server whose collector looks often, and tells its log what it has found."""
    threshold = gc.get_threshold()
    gc.callbacks.append(tell)
    gc.set_threshold(50)
    try:
        with serving(folder, program, **options) as one:
            gc.set_threshold(*threshold)
            assert "collected" in one.log, "it has looked while the server began"
            yield one
    finally:
        gc.callbacks.remove(tell)
        gc.set_threshold(*threshold)


def collected(log: str) -> int:
    """How many objects in cycles were found; nobody looks where nothing piles up."""
    return sum(int(found) for found in re.findall(r"collected (\d+)", log))


@pytest.mark.parametrize(
    ("program", "cgi", "path", "reuse"),
    [
        (http_guest.component, None, "/a", 1),
        (http_guest.component, None, "/a", 50),
        (http_guest.component, None, "/t", 1),
        (cgi_guest.program, "/...", "/args", 1),
    ],
    ids=["handler", "kept handler", "handler that traps", "CGI"],
)
def test_requests_leave_nothing_to_collect(
    tmp_path: Path, program: Any, cgi: str | None, path: str, reuse: int
) -> None:
    with serving_with_statistics(tmp_path, program(), cgi=cgi, reuse=reuse) as one:
        with one.connect() as connection:
            ask(connection, get(path))
            before = len(one.log)
            for _ in range(_REQUESTS):
                ask(connection, get(path))
        assert collected(one.log[before:]) < _REQUESTS, "less than one object each"
        assert one.end() == 0


def test_connections_leave_nothing_to_collect(tmp_path: Path) -> None:
    with serving_with_statistics(tmp_path, http_guest.component()) as one:
        one.get("/a")
        before = len(one.log)
        for _ in range(_REQUESTS):
            with one.connect() as connection:
                connection.sendall(b"GET /a HTTP/1.0\r\nhost: h\r\n\r\n")
                assert b"ok" in read_all(connection)
        assert collected(one.log[before:]) < _REQUESTS, "less than one object each"
        assert one.end() == 0
