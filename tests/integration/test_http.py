"""Serving HTTP: what a client sees of a guest, whatever the guest does, and what the log says."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import guests, http_guest
from tests.support.http_server import Serving, body_of, read_until, serving

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("http")
    with serving(
        folder,
        http_guest.component(),
        timeout_s=1,
        memory_bytes=8 << 20,
        max_response_bytes=1 << 20,
    ) as one:
        yield one
        assert one.get("/a").endswith(b"ok\n"), "the next request is served"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_an_answer(server: Serving) -> None:
    answer = server.get("/a")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n")
    assert answer.endswith(b"\r\n\r\nok\n")


def test_status_and_header_are_the_guests(server: Serving) -> None:
    answer = server.get("/3")
    assert answer.startswith(b"HTTP/1.1 201 Created\r\nx-guest: yes\r\ncontent-length: 0\r\n")
    assert body_of(answer) == b""


def test_the_guest_sees_the_header(server: Serving) -> None:
    answer = server.get("/h", "X-One: 1", "x-one: 2", "accept: */*", "keep-alive: 5")
    assert body_of(answer) == b"x-one: 1\nx-one: 2\naccept: */*\n"


def test_every_request_has_an_instance_of_its_own(server: Serving) -> None:
    for _ in range(20):
        assert body_of(server.get("/c")) == b"10"


def test_head(server: Serving) -> None:
    answer = server.ask(b"HEAD /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")


def test_http_1_0(server: Serving) -> None:
    answer = server.ask(b"GET /w HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in answer
    assert body_of(answer) == b"first\nlast\n"


def test_requests_on_one_connection(server: Serving) -> None:
    one = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n"
    post = b"POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"
    last = b"GET /c HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    answers = server.ask(one + post + one + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 4
    assert answers.count(b"ok\n") == 2
    assert b"\r\n\r\nbodyHTTP/1.1" in answers
    assert answers.endswith(b"\r\n\r\n10")


def test_prints_go_to_the_log(server: Serving) -> None:
    assert body_of(server.get("/p")) == b"ok\n"
    assert "\nprinted\n" in server.log


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/t", 500, "GET /t: error while executing at wasm backtrace:"),
        ("/m", 500, "GET /m: error while executing"),
        ("/n", 500, "GET /n: 500: the guest ended without an answer"),
        ("/d", 500, "GET /d: 500: the guest dropped the body of its answer without finishing it"),
        ("/f", 500, "GET /f: 500: the guest answered with the error internal-error: first"),
        ("/l", 504, "GET /l: 504: it took longer than 1 s (timeout_s)"),
        ("/s", 504, "GET /s: 504: it took longer than 1 s (timeout_s)"),
    ],
)
def test_guests_that_fail(server: Serving, path: str, status: int, said: str) -> None:
    answer = server.get(path)
    assert status_of(answer) == status
    assert body_of(answer).startswith(str(status).encode())
    server.wait_for_log(f"tandem: {said}")
    assert server.get("/a").endswith(b"ok\n")


def test_a_guest_that_answers_twice(server: Serving) -> None:
    """The first answer was whole, and stands; the log tells of the trap."""
    assert body_of(server.get("/2")) == b"ok\n"
    server.wait_for_log("unknown handle index")


def test_a_guest_that_writes_without_end(server: Serving) -> None:
    answer = server.get("/b")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n")
    assert not answer.endswith(b"0\r\n\r\n"), "a body that is cut short must not look whole"
    assert len(answer) < 2 << 20
    server.wait_for_log("GET /b: answer broken off: the answer is larger than 1048576 bytes")


def test_a_failure_keeps_the_connection(server: Serving) -> None:
    fails = b"GET /t HTTP/1.1\r\nhost: h\r\n\r\n"
    works = b"GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    assert server.ask(fails + works).endswith(b"ok\n")


@pytest.mark.parametrize("version", ["0.2.0", "0.2.3", "0.2.12"])
def test_versions_of_wasi(tmp_path: Path, version: str) -> None:
    with serving(tmp_path, http_guest.component(version)) as one:
        assert body_of(one.get("/p")) == b"ok\n"
        assert "printed" in one.log


def test_memory_that_is_needed_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), memory_bytes=1 << 10) as one:
        for _ in range(2):
            assert status_of(one.get("/a")) == 503
        one.wait_for_log("memory minimum size of 1 pages exceeds memory limits")
        said = "the guest needs more than 1024 bytes of memory ([http] memory_bytes)"
        one.wait_for_log(f"GET /a: 503: {said}")


def test_an_address_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with serving(tmp_path, http_guest.component(), listen=listen) as one:
            assert one.status == 1
            assert f"tandem: cannot listen on {listen}: Address already in use\n" in one.log


def test_ipv6_serves_both(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), listen="[::]:0") as one:
        assert body_of(one.get("/a")) == b"ok\n"
        with socket.create_connection(("::1", one.port)) as connection:
            connection.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("imported", "said"),
    [
        ('"acme:store/data@1.0.0" (instance (export "get" (func)))', "acme:store/data@1.0.0"),
        (
            '"wasi:http/types@0.2.9" (instance (export "new-one" (func)))',
            "wasi:http/types@0.2.9 new-one",
        ),
    ],
)
def test_imports_that_nobody_provides_are_named_at_once(
    tmp_path: Path, imported: str, said: str
) -> None:
    text = guests.COMPONENT_HTTP.replace("(component", f"(component (import {imported})", 1)
    with serving(tmp_path, text) as one:
        assert one.status == 137
        assert f"tandem: component imports {said}, which nobody provides" in one.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_an_idle_server(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, http_guest.component()) as one, one.connect() as idle:
        idle.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
        read_until(idle, b"ok\n")
        assert one.end(number) == 0
        assert idle.recv(1) == b""


def test_what_is_in_flight_is_finished(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component()) as one:
        with one.connect() as slow:
            slow.sendall(b"GET /w HTTP/1.1\r\nhost: h\r\n\r\n")
            read_until(slow, b"first")
            os.kill(one.pid, signal.SIGTERM)
            rest = b""
            while piece := slow.recv(1000):
                rest += piece
            assert rest.endswith(b"last\n\r\n0\r\n\r\n")
        assert one.wait() == 0


def test_a_guest_that_waits_for_ever_holds_up_no_end(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), timeout_s=1) as one:
        assert status_of(one.get("/s")) == 504
        assert one.end() == 0


def test_a_server_full_of_guests_that_wait_for_ever_ends(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), timeout_s=1, concurrency=2) as one:
        assert status_of(one.get("/s")) == 504
        assert status_of(one.get("/s")) == 504
        assert one.wait() == 1
        assert "tandem: 2 guests wait for something in the host" in one.log
