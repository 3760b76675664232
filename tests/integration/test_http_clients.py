"""Clients that mean no good, many at once, and for long: the server answers the next one."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.support import http_guest
from tests.support.http_server import Serving, body_of, read_all, read_until, serving

pytestmark = pytest.mark.root


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving(
        tmp_path,
        http_guest.component(),
        header_timeout_s=1,
        idle_timeout_s=2,
        connections=20,
        concurrency=8,
    ) as one:
        yield one
        assert body_of(one.get("/a")) == b"ok\n"
        assert one.end() == 0


def test_a_header_that_never_ends(server: Serving) -> None:
    began = time.monotonic()
    with server.connect() as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\n")
        with contextlib.suppress(OSError):
            for number in range(100):
                connection.sendall(b"x-%d: y\r\n" % number)
                time.sleep(0.05)
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if connection.recv(1, socket.MSG_PEEK):
                        break
                connection.setblocking(True)
        connection.settimeout(20)
        assert read_all(connection).startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 20


def test_slow_ones_do_not_keep_others_out(server: Serving) -> None:
    """More of them than the server has connections."""
    with contextlib.ExitStack() as opened:
        for _ in range(40):
            one = opened.enter_context(server.connect())
            one.sendall(b"GET /a HTTP/1.1\r\n")
        assert body_of(server.get("/a")) == b"ok\n"


def test_idle_ones_make_room(tmp_path: Path) -> None:
    with (
        serving(tmp_path, http_guest.component(), connections=5, idle_timeout_s=600) as one,
        contextlib.ExitStack() as opened,
    ):
        for _ in range(20):
            connection = opened.enter_context(one.connect())
            connection.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
            read_until(connection, b"ok\n")


def test_a_connection_without_a_request_ends(server: Serving) -> None:
    with server.connect() as connection:
        assert read_all(connection) == b""


def test_ten_thousand_header_lines(server: Serving) -> None:
    answer = server.ask(b"GET /a HTTP/1.1\r\nhost: h\r\n" + b"x-x: y\r\n" * 10_000 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_ten_thousand_lines_behind_the_body(server: Serving) -> None:
    request = b"POST /o HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n"
    answer = server.ask(request + b"x-x: y\r\n" * 10_000 + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_body_that_never_ends(tmp_path: Path) -> None:
    """Each byte is in time, but not the last."""
    with serving(tmp_path, http_guest.component(), timeout_s=1, client_timeout_s=60) as one:
        with one.connect() as connection:
            connection.sendall(b"POST /o HTTP/1.1\r\nhost: h\r\ncontent-length: 10000\r\n\r\n")
            connection.settimeout(0.1)
            answer = b""
            for _ in range(300):
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(100)
                    break
                connection.sendall(b"x")
            assert answer.startswith(b"HTTP/1.1 504 ")
        one.wait_for_log("POST /o: 504: it took longer than 1 s (timeout_s)")
        assert body_of(one.get("/a")) == b"ok\n"


@pytest.mark.parametrize(
    "smuggled",
    [
        b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
        b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcde",
        b"transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"transfer-encoding: chunked\r\n\r\n-1\r\n",
    ],
)
def test_smuggling_is_refused_and_the_connection_ends(server: Serving, smuggled: bytes) -> None:
    behind = b"GET /c HTTP/1.1\r\nhost: h\r\n\r\n"
    answer = server.ask(b"POST /a HTTP/1.1\r\nhost: h\r\n" + smuggled + behind)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert b"\r\nconnection: close\r\n" in answer


def test_too_many_at_once_wait_for_each_other(server: Serving) -> None:
    """More requests than instances: all are answered."""
    answers: list[bytes] = []
    threads = [threading.Thread(target=lambda: answers.append(server.get("/w"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [body_of(answer) for answer in answers] == [b"first\nlast\n"] * 16


def many(server: Serving, connections: int, requests: int) -> list[str]:
    """Each connection asks again and again for bodies of its own; what went wrong."""
    wrong: list[str] = []

    def client(number: int) -> None:
        body = os.urandom(100 + number * 37)
        head = f"POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with server.connect() as connection, connection.makefile("rb") as reader:
            for count in range(requests):
                # now in one piece, now in two
                if count % 2:
                    connection.sendall(head + body)
                else:
                    connection.sendall(head + body[:50])
                    connection.sendall(body[50:])
                got = read_answer(reader)
                if got != body:
                    wrong.append(f"{number}.{count}: {got[:50]!r}")

    threads = [threading.Thread(target=client, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def read_answer(reader: BinaryIO) -> bytes:
    length, line = None, reader.readline()
    if not line.startswith(b"HTTP/1.1 200"):
        return b"status " + bytes(line)
    while line != b"\r\n":
        line = reader.readline()
        if line.startswith(b"content-length: "):
            length = int(line.split()[1])
    if length is not None:
        return bytes(reader.read(length))
    whole = b""
    while size := int(reader.readline(), 16):
        whole += reader.read(size)
        reader.readline()
    reader.readline()
    return whole


def state_of(pid: int) -> tuple[int, int, int]:
    """Resident KiB, descriptors, threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = (int(status.split(f"{name}:")[1].split()[0]) for name in ("VmRSS", "Threads"))
    resident, threads = fields
    return resident, len(os.listdir(f"/proc/{pid}/fd")), threads


def test_fifty_connections_get_what_is_theirs_and_nothing_grows(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), concurrency=16) as one:
        assert many(one, 50, 20) == []
        before = state_of(one.pid)
        assert many(one, 50, 60) == []
        time.sleep(0.5)
        after = state_of(one.pid)
        assert after[0] < before[0] + (8 << 10), (before, after)
        assert after[1] <= before[1] + 2, (before, after)
        assert one.end() == 0
        assert "500" not in one.log


def test_a_full_server_does_not_spin(server: Serving) -> None:
    """Its listener stays readable all the time that it cannot accept anybody."""
    with contextlib.ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(server.connect()).sendall(b"GET /w HTTP/1.1\r\nhost: h\r\n")
        time.sleep(0.2)
        opened.enter_context(server.connect())
        before = cpu_s(server.pid)
        time.sleep(0.5)
        assert cpu_s(server.pid) - before < 0.25


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
