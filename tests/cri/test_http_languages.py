"""A mixed pod whose containers serve HTTP: JavaScript, Python and C, as components and as CGI."""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import network, web_guests
from tests.support.containerd import Containerd
from tests.support.http_server import body_of, read_all, read_until
from tests.support.pods import Container
from tests.support.web_pod import WebServer, outcome_of, statuses, web_pod

pytestmark = [pytest.mark.root, pytest.mark.containerd]

_LARGE = 8 << 20
_TIMEOUT_S = 6
_PROGRAMS = [guest.name for guest in web_guests.ALL]


@pytest.fixture(scope="module")
def pod(containerd: Containerd) -> Iterator[tuple[Container, dict[str, WebServer]]]:
    with web_pod(containerd, "languages", web_guests.ALL, _TIMEOUT_S) as started:
        yield started


@pytest.fixture(scope="module")
def client(pod: tuple[Container, dict[str, WebServer]]) -> Container:
    return pod[0]


@pytest.fixture(params=_PROGRAMS)
def server(
    request: pytest.FixtureRequest, pod: tuple[Container, dict[str, WebServer]]
) -> WebServer:
    return pod[1][request.param]


def test_the_neighbour_asks(client: Container, server: WebServer) -> None:
    """A Linux container of the same pod, by its own loopback."""
    url = f"http://127.0.0.1:{server.port}"
    found = client.exec("wget", "-qO-", f"{url}/")
    assert (found.exit_code, found.stdout) == (0, "hello\n")
    found = client.exec("wget", "-qO-", "--post-data=a body", f"{url}/echo")
    assert (found.exit_code, found.stdout) == (0, "a body")
    found = client.exec("wget", "-qO-", "--header=X-Ox: two", f"{url}/headers")
    assert "x-ox: two" in found.stdout.splitlines()


def test_plain_requests(server: WebServer) -> None:
    found = server.ask("GET", "/?a=b")
    assert (found.status, found.body) == (200, b"hello\n")
    assert b"\r\ncontent-type: text/plain" in found.head
    found = server.ask("HEAD", "/")
    assert (found.status, found.body) == (200, b"")
    for method, path in (("GET", "/nowhere"), ("POST", "/"), ("PUT", "/echo")):
        found = server.ask(method, path)
        assert (found.status, found.body) == (404, b"nothing is there\n")
    found = server.ask("GET", "/headers", "x-one: 1", "x-two: a, b")
    assert {b"x-one: 1", b"x-two: a, b"} <= {*found.body.splitlines()}


def test_eight_mebibytes(server: WebServer) -> None:
    body = os.urandom(_LARGE)
    found = server.ask("POST", "/sum", body=body)
    assert found.body == f"{_LARGE} {hashlib.sha256(body).hexdigest()}\n".encode()
    assert server.ask("POST", "/echo", body=body).body == body


def test_an_answer_that_takes_its_time(server: WebServer) -> None:
    """The first bytes are there while the guest still waits to write the last."""
    host, _, port = server.address.rpartition(":")
    with network.connect(server.containerd.room.network, host, int(port), 30) as connection:
        connection.sendall(b"GET /stream HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
        begun = read_until(connection, b"first\n")
        assert b"last" not in begun
        whole = begun + read_all(connection)
    assert body_of(whole) == b"first\nsecond\nlast\n"


def test_bytes_come_back_one_piece_at_a_time(server: WebServer) -> None:
    """The next is sent when the last has come back: neither side may wait for the whole."""
    host, _, port = server.address.rpartition(":")
    with network.connect(server.containerd.room.network, host, int(port), 30) as connection:
        head = b"POST /echo HTTP/1.1\r\nhost: t\r\nconnection: close\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        whole = b""
        for word in (b"one", b"two", b"three"):
            connection.sendall(b"%x\r\n%s\r\n" % (len(word), word))
            whole += read_until(connection, word)
        connection.sendall(b"0\r\n\r\n")
        assert body_of(whole + read_all(connection)) == b"onetwothree"


def test_a_failure(server: WebServer) -> None:
    """The client hears that there is one, the log tells why, and the next one is served."""
    found = server.ask("GET", "/fail")
    assert (found.status, found.body) == (500, b"500 Internal Server Error\n")
    server.container.wait_for_log("told to fail")
    server.container.wait_for_log(server.guest.failure)
    assert server.ask("GET", "/").body == b"hello\n"


def test_those_that_never_end(pod: tuple[Container, dict[str, WebServer]]) -> None:
    """All at the same time, since each takes as long as it may."""
    servers = list(pod[1].values())
    with ThreadPoolExecutor(len(servers)) as threads:
        for answer in threads.map(lambda server: server.ask("GET", "/slow"), servers):
            assert answer.status == 504
    for server in servers:
        said = f"GET /slow: 504: it took longer than {_TIMEOUT_S} s (timeout_s)"
        server.container.wait_for_log(said)
        assert server.ask("GET", "/").body == b"hello\n"


def test_a_thousand_requests_at_fifty_connections(server: WebServer) -> None:
    """Counted by hey; and by a client of ours that compares every body."""
    assert statuses(server.hey(1000, 50)) == {200: 1000}
    right, wrong = outcome_of(server.load("--requests", "1000", "--connections", "50"))
    assert wrong == []
    assert right >= 1000
    assert server.container.is_running()
