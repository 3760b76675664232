"""Components that misuse wasi:http: only their own request fails, and the server goes on."""

import os
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from tests.support import http_misuse, http_plans
from tests.support.http_misuse import Program
from tests.support.http_programs import GOOD, TEXTS, Walk, systematic
from tests.support.http_server import Serving, body_of, read_all, serving

pytestmark = pytest.mark.root

_WALKS = 1000
_WALKS_S = 8.0
_WARM = 100
# what a second request needs beside one that is not quite over
_SLACK = 8
_REQUESTS = (
    b"GET /%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    b"POST /%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
    b"POST /%d HTTP/1.1\r\nhost: a\r\nconnection: close\r\nte: trailers\r\n"
    b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n",
)
# What our functions would say of a resource that is not what they take it for.
_CONFUSED = re.compile(r"\b(?:Key|Attribute|Type|Index|Value|Assertion)Error\b.*")


def _component(programs: Iterable[Program]) -> str:
    return http_misuse.component(TEXTS, [GOOD, *programs])


def _status(answer: bytes) -> int:
    """The status; 500 as well for an answer that was begun, and broken off."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert found, answer[:200]
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head)
    whole = len(body) == int(length[1]) if length else body.endswith(b"\r\n\r\n")
    return int(found[1]) if whole else 500


def _is_served(server: Serving) -> bool:
    answer = server.get("/0")
    return _status(answer) == 200 and body_of(answer) == b"5"


def _ask(server: Serving, number: int, program: Program, request: bytes = _REQUESTS[0]) -> int:
    """The status for a program, after which the next request is served."""
    status = _status(server.ask(request % number))
    assert _is_served(server), program
    return status


def _descriptors(server: Serving) -> int:
    return len(os.listdir(f"/proc/{server.pid}/fd"))


def _run_all(server: Serving, programs: Sequence[Program], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    before = 0
    for number, program in enumerate(programs, start=1):
        _ask(server, number, program, _REQUESTS[number % len(_REQUESTS)])
        # by then there is all that a server keeps
        if number == _WARM:
            before = _descriptors(server)
        if number >= 2 * _WARM and time.monotonic() > end:
            break
    assert _CONFUSED.findall(server.log) == []
    deadline = time.monotonic() + 5
    while _descriptors(server) > before + _SLACK and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _descriptors(server) <= before + _SLACK


def test_plans(tmp_path: Path) -> None:
    names = list(http_plans.PLANS)
    with serving(tmp_path, _component(http_plans.PLANS[name][1] for name in names)) as server:
        statuses = {
            name: _ask(server, number, http_plans.PLANS[name][1], _REQUESTS[2])
            for number, name in enumerate(names, start=1)
        }
        assert statuses == {name: http_plans.PLANS[name][0] for name in names}
        assert _CONFUSED.findall(server.log) == []


def test_each_function_in_wrong_states(tmp_path: Path) -> None:
    programs = list(systematic().values())
    assert len(programs) > 1000
    with serving(tmp_path, _component(programs)) as server:
        _run_all(server, programs)


def test_walks_by_chance(tmp_path: Path) -> None:
    programs = [Walk(seed).program() for seed in range(_WALKS)]
    with serving(tmp_path, _component(programs)) as server:
        _run_all(server, programs, _WALKS_S)


def test_requests_at_the_same_time(tmp_path: Path) -> None:
    """Guests that trap beside each other, on connections that nobody reads before all are sent."""
    programs = [Walk(seed).program() for seed in range(_WALKS, _WALKS + 64)]
    with serving(tmp_path, _component(programs)) as server:
        for numbers in (range(first, first + 16) for first in range(1, 65, 16)):
            connections = [server.connect() for _ in numbers]
            for connection, number in zip(connections, numbers, strict=True):
                connection.sendall(_REQUESTS[number % 3] % number)
            for connection in connections:
                with connection:
                    assert _status(read_all(connection))
        assert _is_served(server)
        assert server.end() == 0
