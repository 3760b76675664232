"""Bodies of served requests: streams both ways, in bounded memory."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import http_guest
from tests.support.http_server import Serving, body_of, read_all, read_until, serving

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("http")
    with serving(folder, http_guest.component(), client_timeout_s=2) as one:
        yield one


def post(path: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: h", "connection: close", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [0, 1, 4096, 65536, 65537, 8 << 20])
def test_a_body_comes_back(server: Serving, size: int) -> None:
    body = os.urandom(size)
    answer = server.ask(post("/e", f"content-length: {size}", body=body))
    assert body_of(answer) == body


def test_a_chunked_body_comes_back(server: Serving) -> None:
    pieces = [os.urandom(n * 1000) for n in range(1, 30)]
    body = b"".join(map(chunk, pieces)) + b"0\r\n\r\n"
    answer = server.ask(post("/e", "transfer-encoding: chunked", body=body))
    assert body_of(answer) == b"".join(pieces)


def test_bytes_pass_as_they_come(server: Serving) -> None:
    """The first byte is out before the last is in, in both directions."""
    with server.connect() as connection:
        connection.sendall(post("/e", "transfer-encoding: chunked"))
        answer = b""
        for word in (b"one", b"two", b"three"):
            connection.sendall(chunk(word))
            while word not in answer:
                piece = connection.recv(1000)
                assert piece
                answer += piece
        connection.sendall(b"0\r\n\r\n")
        assert (answer + read_all(connection)).endswith(b"\r\n0\r\n\r\n")


def test_a_guest_speaks_while_it_runs(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /w HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
        answer = read_until(connection, b"first")
        assert b"last" not in answer
        assert body_of(answer + read_all(connection)) == b"first\nlast\n"


def test_a_gibibyte_in_bounded_memory(tmp_path: Path) -> None:
    total, piece = 1 << 30, os.urandom(1 << 20)
    with (
        serving(tmp_path, http_guest.component(), timeout_s=250) as one,
        one.connect() as connection,
    ):

        def send() -> None:
            connection.sendall(post("/e", f"content-length: {total}"))
            for _ in range(total // len(piece)):
                connection.sendall(piece)

        # The peak so far is that of the process that forked it: proc(5).
        Path(f"/proc/{one.pid}/clear_refs").write_text("5")
        before = peak_kib(one.pid)
        sender = threading.Thread(target=send)
        sender.start()
        received = digest_of_chunks(connection)
        sender.join()
        wanted = hashlib.sha256()
        for _ in range(total // len(piece)):
            wanted.update(piece)
        assert received == wanted.hexdigest()
        assert peak_kib(one.pid) < before + (48 << 10)


def digest_of_chunks(connection: socket.socket) -> str:
    digest = hashlib.sha256()
    with connection.makefile("rb", buffering=1 << 20) as reader:
        while reader.readline() != b"\r\n":
            pass
        while size := int(reader.readline(), 16):
            digest.update(reader.read(size))
            assert reader.read(2) == b"\r\n"
    return digest.hexdigest()


def peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def test_trailers_both_ways(server: Serving) -> None:
    body = chunk(b"hello") + b"0\r\nX-Check: 1\r\nx-other: 2\r\n\r\n"
    answer = server.ask(post("/r", "te: trailers", "transfer-encoding: chunked", body=body))
    assert answer.endswith(b"\r\n5\r\nhello\r\n0\r\nx-check: 1\r\nx-other: 2\r\n\r\n")


def test_trailers_that_nobody_asked_for_are_left_out(server: Serving) -> None:
    body = chunk(b"hello") + b"0\r\nx-check: 1\r\n\r\n"
    answer = server.ask(post("/r", "transfer-encoding: chunked", body=body))
    assert body_of(answer) == b"hello"
    assert b"x-check" not in answer


def test_no_trailers(server: Serving) -> None:
    answer = server.ask(post("/r", "content-length: 5", body=b"hello"))
    assert body_of(answer) == b"hello"


def test_a_client_that_waits_to_be_told(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(post("/x", "content-length: 5", "expect: 100-continue"))
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 500"), "no body is wanted, and none is asked for"
    with server.connect() as connection:
        connection.sendall(post("/o", "content-length: 5", "expect: 100-continue"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"hello")
        assert body_of(read_all(connection)) == b"hello"


def test_a_body_that_nobody_reads(server: Serving) -> None:
    """The answer arrives, although the client sends more than anybody takes."""
    answer = server.ask(post("/a", "content-length: 500000", body=b"x" * 500000))
    assert body_of(answer) == b"ok\n"


def test_nothing_of_a_body_reaches_the_next_guest(tmp_path: Path) -> None:
    """Although all of them use the same pipes, and most bodies are not read to their end."""
    with serving(tmp_path, http_guest.component(), concurrency=1) as one:
        for number in range(20):
            left = b"%d left behind " % number * 5000
            one.ask(post("/t" if number % 2 else "/a", f"content-length: {len(left)}", body=left))
            with one.connect() as connection:
                connection.sendall(post("/e", "content-length: 10"))
                connection.sendall(b"%010d" % number)
                assert body_of(read_all(connection)) == b"%010d" % number


def test_a_client_that_stops_in_its_body(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(post("/o", "content-length: 5", body=b"he"))
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    server.wait_for_log("POST /o: 408: the client sends nothing of its body")


def test_a_body_that_breaks_its_grammar(server: Serving) -> None:
    with server.connect() as connection:
        connection.sendall(post("/o", "transfer-encoding: chunked"))
        time.sleep(0.1)
        connection.sendall(b"nonsense\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_ends_early_is_no_body(server: Serving) -> None:
    """The guest must not take what came for the whole."""
    with server.connect() as connection:
        connection.sendall(post("/o", "content-length: 500", body=b"half"))
        connection.shutdown(socket.SHUT_WR)
        assert b"half" not in read_all(connection)


def test_a_client_that_never_reads(server: Serving) -> None:
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"GET /b HTTP/1.1\r\nhost: h\r\n\r\n")
        server.wait_for_log("GET /b: answer broken off: the client does not read")
    assert server.get("/a").endswith(b"ok\n")


def test_a_client_that_goes_away_ends_its_guest(server: Serving) -> None:
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(b"GET /b HTTP/1.1\r\nhost: h\r\n\r\n")
            connection.recv(1000)
    deadline = time.monotonic() + 10
    while cpu_ticks(server.pid, 0.2) > 5:
        assert time.monotonic() < deadline, "guests without a client still run"


def cpu_ticks(pid: int, seconds: float) -> int:
    def now() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = now()
    time.sleep(seconds)
    return now() - before
