"""Instances that answer more than one request: what stays, for how long, and what ends them."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support import http_guest, outbound_guest
from tests.support.http_server import Serving, ask, get, read_until, serving
from tests.support.upstream import answer, upstream

pytestmark = pytest.mark.root


def post(path: str, body: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s" % (
        path.encode(),
        len(body),
        body,
    )


def counts(server: Serving, requests: Sequence[bytes]) -> list[int | None]:
    """What the counting guest says, one request after the other."""
    bodies: list[bytes] = []
    connection = server.connect()
    for request in requests:
        bodies.append(ask(connection, request))
        if not bodies[-1]:
            # a failure may end it
            connection.close()
            connection = server.connect()
    connection.close()
    return [body[0] - ord("0") if body else None for body in bodies]


def test_an_instance_answers_as_many_as_it_may(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), reuse=3) as one:
        assert counts(one, [get("/c")] * 8) == [1, 2, 3, 1, 2, 3, 1, 2]


def test_without_reuse_nothing_stays(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component()) as one, one.connect() as connection:
        assert [ask(connection, get("/c")) for _ in range(20)] == [b"10"] * 20


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("reuse")
    with serving(
        folder,
        http_guest.component(),
        reuse=100,
        timeout_s=1,
        memory_bytes=8 << 20,
        max_response_bytes=1 << 20,
    ) as one:
        yield one


@pytest.mark.parametrize("path", ["/t", "/m", "/n", "/d", "/f", "/l"])
def test_what_fails_ends_its_instance(patient: Serving, path: str) -> None:
    """A trap, no memory, no answer, an unfinished one, an error, and no time left."""
    found = counts(patient, [get("/c"), get("/c"), get(path), get("/c"), get("/c")])
    first, second, failed, third, fourth = found
    assert first is not None
    assert second == first + 1
    assert failed is None
    assert (third, fourth) == (1, 2)


def test_answering_twice_ends_an_instance(patient: Serving) -> None:
    """The answer was whole, but the guest trapped behind it."""
    found = counts(patient, [get("/c"), get("/2"), get("/c")])
    assert found[2] == 1


def test_a_body_is_read_by_an_instance_of_its_own(patient: Serving) -> None:
    with patient.connect() as connection:
        before = ask(connection, get("/c"))[0]
        for size in (1, 1000, 300_000):
            body = os.urandom(size)
            assert ask(connection, post("/e", body)) == body
        assert ask(connection, get("/c"))[0] == before + 1
        assert ask(connection, post("/e", b"")) == b""
        assert ask(connection, get("/c"))[0] == before + 3


def test_what_interrupts_others_does_not_end_one_that_stays(patient: Serving) -> None:
    """Time limits are by a clock of the whole engine, and an instance that stays hears of it."""
    slow = threading.Thread(target=lambda: patient.ask(post("/l", b"in one of its own")))
    with patient.connect() as connection:
        before = ask(connection, get("/c"))[0]
        slow.start()
        slow.join()
        assert ask(connection, get("/w")) == b"first\nlast\n"
        assert ask(connection, get("/c"))[0] == before + 2


def test_one_that_gives_nothing_back_ends(tmp_path: Path) -> None:
    """The guest drops no request that it gets."""
    with serving(tmp_path, http_guest.component(), reuse=1_000_000) as one:
        found = counts(one, [get("/c")] * 600)
    assert len([count for count in found if count == 1]) > 1


def test_one_that_nobody_needs_ends(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), reuse=100, idle_timeout_s=1) as one:
        assert counts(one, [get("/c")] * 2) == [1, 2]
        time.sleep(3.5)
        assert counts(one, [get("/c")]) == [1]


def test_those_that_stay_hold_up_nobody(tmp_path: Path) -> None:
    with (
        serving(tmp_path, http_guest.component(), reuse=100, concurrency=1) as one,
        one.connect() as connection,
    ):
        assert ask(connection, get("/c"))[0] == ord("1")
        assert ask(connection, post("/e", b"body")) == b"body"
        assert ask(connection, get("/c"))[0] == ord("1")


def test_requests_at_the_same_time_have_different_instances(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), reuse=100) as one:
        with one.connect() as first, one.connect() as second:
            first.sendall(get("/w"))
            read_until(first, b"first")
            assert ask(second, get("/c"))[0] == ord("1")
            read_until(first, b"0\r\n\r\n")
        assert one.end() == 0


def test_descriptors_do_not_grow(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), reuse=7) as one:
        counts(one, [get("/c")] * 20)
        before = len(os.listdir(f"/proc/{one.pid}/fd"))
        counts(one, [get("/c")] * 500)
        assert len(os.listdir(f"/proc/{one.pid}/fd")) <= before + 2


def test_requests_of_its_own_go_on(tmp_path: Path) -> None:
    with (
        upstream(lambda connection, _: connection.sendall(answer(b"ok"))) as port,
        serving(tmp_path, outbound_guest.component(), reuse=100) as one,
        one.connect() as connection,
    ):
        request = b"GET /x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % port
        assert [ask(connection, request) for _ in range(5)] == [b"ok"] * 5
