"""The path by which a server says whether it takes requests: no guest has a part in it."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import cgi_guest, http_guest
from tests.support.http_server import Serving, body_of, read_all, read_until, serving

pytestmark = pytest.mark.root

PATH = "/.well-known/tandem/health"
REQUEST = f"GET {PATH} HTTP/1.1\r\nhost: h\r\n\r\n".encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("health")
    with serving(folder, http_guest.component(), health=PATH, concurrency=2) as one:
        yield one
        assert one.get("/a").endswith(b"ok\n"), "the next request is served"


def test_it_is_well(server: Serving) -> None:
    answer = server.get(PATH)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n")
    assert b"\r\ncache-control: no-store\r\n" in answer
    assert body_of(answer) == b"200 OK\n"
    assert server.get(f"{PATH}?of=kubelet").startswith(b"HTTP/1.1 200 ")


def test_head_has_no_body(server: Serving) -> None:
    answer = server.ask(f"HEAD {PATH} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\ncontent-length: 7\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("body", [b"", b"a body"])
def test_it_cannot_be_changed(server: Serving, body: bytes) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n"
    answer = server.ask(head.encode() + b"connection: close\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"\r\nallow: GET, HEAD\r\n" in answer


def test_a_body_that_does_not_come_ends_the_connection(server: Serving) -> None:
    """Else its bytes would be the next request."""
    head = f"GET {PATH} HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n".encode()
    answer = server.ask(head)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer


def test_other_paths_are_the_guests(server: Serving) -> None:
    """The guest tells by the first letter after the slash."""
    for path in ("/a", f"{PATH}/", f"{PATH}x", "/a" + PATH):
        found = server.get(path)
        assert b"200 OK\n" not in body_of(found), path


def test_it_is_asked_between_requests(server: Serving) -> None:
    one = b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n"
    last = b"GET /c HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n"
    answers = server.ask(one + REQUEST + one + REQUEST + last)
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    assert answers.count(b"\r\n\r\n200 OK\n") == 2
    assert answers.endswith(b"\r\n\r\n10")


def test_it_answers_while_every_guest_is_busy(server: Serving) -> None:
    """Both guests of this server wait for their bodies."""
    busy = [server.connect() for _ in range(2)]
    for connection in busy:
        connection.sendall(b"POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nx")
    for connection in busy:
        read_until(connection, b"x")
    with server.connect() as waiting:
        waiting.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        for _ in range(5):
            assert server.get(PATH).startswith(b"HTTP/1.1 200 ")
        waiting.settimeout(20)
        for connection in busy:
            connection.sendall(b"y")
            read_until(connection, b"y")
            connection.close()
        assert read_all(waiting).endswith(b"ok\n")


def test_a_server_that_ends_says_so(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), health=PATH) as server:
        with server.connect() as busy:
            busy.sendall(b"POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\n")
            busy.sendall(b"fi")
            read_until(busy, b"fi")
            os.kill(server.pid, signal.SIGTERM)
            with pytest.raises(AssertionError, match="the server goes on"):
                while server.get(PATH).startswith(b"HTTP/1.1 200 "):
                    pass
                raise AssertionError("the server goes on")
            answer = server.get(PATH)
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nconnection: close\r\n" in answer
            # Whatever else comes now is not served, and holds up no end.
            assert server.get("/a").startswith(b"HTTP/1.1 503 ")
            idle = server.connect()
            busy.sendall(b"ve")
            assert b"ve" in read_all(busy)
        assert server.wait() == 0
        idle.close()


def test_off_it_is_the_guests(tmp_path: Path) -> None:
    with serving(tmp_path, cgi_guest.program(), cgi="/...") as server:
        assert body_of(server.get(PATH)) == f"path {PATH}\n".encode()


def test_it_comes_before_the_routes_of_a_program(tmp_path: Path) -> None:
    with serving(tmp_path, cgi_guest.program(), cgi="/app", health=PATH) as server:
        assert server.get(PATH).startswith(b"HTTP/1.1 200 ")
        assert server.get("/other").startswith(b"HTTP/1.1 404 ")


def test_a_client_that_asks_and_does_not_read(server: Serving) -> None:
    """It is dropped when it has no room for a few bytes more, and holds a thread no longer."""
    with socket.socket() as greedy:
        # before it connects: a buffer that shrinks lets the kernel drop what is on its way
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.settimeout(20)
        greedy.connect(("127.0.0.1", server.port))
        with pytest.raises(ConnectionError):
            while True:
                greedy.sendall(REQUEST * 100)
    assert server.get(PATH).startswith(b"HTTP/1.1 200 ")
