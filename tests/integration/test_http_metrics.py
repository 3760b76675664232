"""The numbers of a real server: each is what its clients have seen, whoever asks for it."""

import contextlib
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import cgi_guest, http_guest
from tests.support.descriptors import open_sockets
from tests.support.http_server import Serving, body_of, exchange, read_until, serving
from tests.support.metrics import Samples, samples_of

pytestmark = pytest.mark.root

HEALTH = "/health"
ASK = b"GET /metrics HTTP/1.1\r\nhost: h\r\n\r\n"


@contextlib.contextmanager
def measured(folder: Path, module: str | Path, **options: object) -> Iterator[Serving]:
    with serving(folder, module, metrics="127.0.0.1:0", health=HEALTH, **options) as server:  # type: ignore[arg-type]
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with measured(tmp_path_factory.mktemp("metrics"), http_guest.component()) as one:
        yield one
        assert one.get("/a").endswith(b"ok\n"), "the next request is served"


def connect(server: Serving) -> socket.socket:
    found = re.search(r"metrics on http://127.0.0.1:(\d+)/metrics\n", server.log)
    assert found, server.log
    return socket.create_connection(("127.0.0.1", int(found[1])), 20)


def ask(server: Serving, request: bytes = ASK) -> bytes:
    with connect(server) as connection:
        return exchange(connection, request)


def numbers(server: Serving) -> Samples:
    answer = ask(server)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    return samples_of(body_of(answer).decode())


def wait_for(server: Serving, check: Callable[[Samples], bool]) -> Samples:
    """The page once it is as it should be: it may be a moment old, and the last request may be."""
    deadline = time.monotonic() + 20
    while not check(found := numbers(server)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def answers_of(found: Samples) -> dict[tuple[str, str], float]:
    taken = [key for key in found if key[0] == "tandem_http_requests_total"]
    labels = ((dict(key[1]), found[key]) for key in taken)
    return {(one["method"], one["status"]): count for one, count in labels if count}


def is_over(count: int) -> Callable[[Samples], bool]:
    """Whether so many requests are answered, and their guests gone."""

    def check(found: Samples) -> bool:
        found = Samples(found)
        return (
            found.pop("tandem_http_request_duration_seconds_count") == count
            and found.pop("tandem_http_instances_live") == 0
            and found.pop("tandem_http_connections_open") == 0
        )

    return check


def test_every_outcome_is_counted(tmp_path: Path) -> None:
    with measured(
        tmp_path, http_guest.component(), timeout_s=1, fuel=1 << 38, max_response_bytes=1 << 20
    ) as server:
        for _ in range(7):
            assert server.get("/a").startswith(b"HTTP/1.1 200 ")
        body = b"x" * 100_000
        head = b"POST /e HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n"
        assert body_of(server.ask(head + body)) == body
        assert server.get("/3").startswith(b"HTTP/1.1 201 ")
        assert server.get("/t").startswith(b"HTTP/1.1 500 ")
        assert server.get("/n").startswith(b"HTTP/1.1 500 ")
        assert server.get("/l").startswith(b"HTTP/1.1 504 ")
        assert server.get("/b").startswith(b"HTTP/1.1 200 ")
        assert server.ask(b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 ")
        for _ in range(3):
            assert server.get(HEALTH).startswith(b"HTTP/1.1 200 ")
        found = wait_for(server, is_over(13))
        assert answers_of(found) == {
            ("GET", "2xx"): 9, ("POST", "2xx"): 1, ("GET", "5xx"): 3,
        }  # fmt: skip
        assert found.pop("tandem_http_traps_total") == 1
        assert found.pop("tandem_http_broken_answers_total") == 1
        assert found.pop("tandem_http_bad_requests_total") == 1
        assert found.pop("tandem_http_over_limit_total", limit="timeout_s") == 1
        assert found.pop("tandem_http_over_limit_total", limit="max_response_bytes") == 1
        assert found.pop("tandem_http_over_limit_total", limit="fuel") == 0
        assert found.pop("tandem_http_instances_made_total") == 13
        assert found.pop("tandem_http_connections_accepted_total") == 17
        assert found.pop("tandem_http_requests_in_flight") == 0
        assert found.pop("tandem_http_cold_start_seconds_count") == 1
        assert 0 < found.pop("tandem_http_cold_start_seconds_sum") < 20
        assert found.pop("tandem_http_workers_started_total") == 1
        assert 100_000 < found.pop("tandem_http_received_bytes_total") < 110_000
        assert found.pop("tandem_http_sent_bytes_total") > 1_000_000
        duration = "tandem_http_request_duration_seconds"
        assert found.pop(f"{duration}_bucket", le="0.5") == 12, "all but the one at the time limit"
        assert found.pop(f"{duration}_bucket", le="+Inf") == 13
        assert found.pop(f"{duration}_sum") > 1


def test_limits_of_guests(tmp_path: Path) -> None:
    """Of fuel and memory; neither is a trap."""
    with measured(tmp_path, http_guest.component(), fuel=1_000_000) as server:
        assert server.get("/l").startswith(b"HTTP/1.1 504 ")
        found = wait_for(server, is_over(1))
        assert found.pop("tandem_http_over_limit_total", limit="fuel") == 1
        assert found.pop("tandem_http_traps_total") == 0
    (tmp_path / "small").mkdir()
    with measured(tmp_path / "small", http_guest.component(), memory_bytes=1 << 10) as server:
        assert server.get("/a").startswith(b"HTTP/1.1 503 ")
        found = wait_for(server, is_over(1))
        assert found.pop("tandem_http_over_limit_total", limit="memory_bytes") == 1
        assert found.pop("tandem_http_traps_total") == 0
        assert found.pop("tandem_http_instances_made_total") == 0


def test_what_goes_on_is_seen(server: Serving) -> None:
    with server.connect() as busy:
        busy.sendall(b"POST /e HTTP/1.1\r\nhost: h\r\nconnection: close\r\n")
        busy.sendall(b"content-length: 4\r\n\r\nfi")
        read_until(busy, b"fi")
        before = numbers(server).pop("tandem_http_sent_bytes_total")
        assert before > 0, "bytes of an answer that is not whole"
        found = wait_for(server, lambda found: not is_over(0)(found))
        assert found.pop("tandem_http_requests_in_flight") == 1
        assert found.pop("tandem_http_instances_live") == 1
        assert found.pop("tandem_http_connections_open") == 1
        count = found.pop("tandem_http_request_duration_seconds_count")
        busy.sendall(b"ve")
        read_until(busy, b"ve")
    found = wait_for(server, is_over(int(count) + 1))
    assert found.pop("tandem_http_requests_in_flight") == 0


def test_a_client_that_goes(server: Serving) -> None:
    """Its request has no status: its guest is ended, and has not answered yet."""
    count = int(numbers(server).pop("tandem_http_request_duration_seconds_count"))
    with server.connect() as hasty:
        hasty.sendall(b"PUT /l HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n")
        wait_for(server, lambda found: found.pop("tandem_http_requests_in_flight") == 1)
        # its end is an error, which the server notices at once
        hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    found = wait_for(server, is_over(count + 1))
    assert answers_of(found)["PUT", "none"] == 1


def test_a_program(tmp_path: Path) -> None:
    with measured(tmp_path, cgi_guest.program(), cgi="/app/...") as server:
        assert server.get("/app/count").startswith(b"HTTP/1.1 200 ")
        assert server.get("/app/trap").startswith(b"HTTP/1.1 500 ")
        assert server.get("/other").startswith(b"HTTP/1.1 404 ")
        found = wait_for(server, is_over(3))
        assert answers_of(found) == {("GET", "2xx"): 1, ("GET", "4xx"): 1, ("GET", "5xx"): 1}
        assert found.pop("tandem_http_traps_total") == 1
        assert found.pop("tandem_http_instances_made_total") == 2


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /metrics?x=1", 200), ("HEAD /metrics", 200), ("POST /metrics", 405), ("GET /", 404),
        ("GET /a", 404), ("GET /health", 404), ("BREW /metrics", 501),
    ],
)  # fmt: skip
def test_nothing_else_is_there(server: Serving, request_line: str, status: int) -> None:
    answer = ask(server, f"{request_line} HTTP/1.1\r\nhost: h\r\n\r\n".encode())
    assert int(answer.split(b" ", 2)[1]) == status
    assert b"\r\nconnection: close\r\n" in answer
    if status == 200:
        assert b"\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n" in answer
        assert bool(body_of(answer)) != request_line.startswith("HEAD")
    assert server.get("/metrics")[9:12] != b"200", "the guests' address has no metrics"


def test_clients_that_send_no_request_keep_nobody_out(server: Serving) -> None:
    """More of them than there may be connections; the first ones are gone then."""
    slow = [connect(server) for _ in range(40)]
    for connection in slow:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
    for _ in range(10):
        assert numbers(server)
        assert server.get("/a").endswith(b"ok\n")
    assert slow[0].recv(1) == b"", "the oldest makes room"
    started = time.monotonic()
    assert slow[-1].recv(1) == b"", "nobody stays for ever"
    assert time.monotonic() - started < 15
    for connection in slow:
        connection.close()


@pytest.mark.parametrize("bad", [b"\0\1\2", b"GET /metrics HTTP/1.1\r\n" + b"a" * 50_000])
def test_bytes_that_are_no_request(server: Serving, bad: bytes) -> None:
    with connect(server) as connection:
        answer = exchange(connection, bad + b"\r\n\r\n")
    assert answer == b"" or answer[9:12] in {b"400", b"431", b"501"}
    assert numbers(server)


def test_an_address_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with serving(tmp_path, http_guest.component(), metrics=address) as one:
            assert one.status == 1
            said = f"tandem: cannot listen on {address} (metrics): Address already in use\n"
            assert said in one.log


def listeners_of(pid: int) -> int:
    """How many sockets of a process listen (proc(5), net/tcp: state 0A; the inode is the tenth)."""
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    listening = {f"socket:[{line.split()[9]}]" for line in lines if line.split()[3] == "0A"}
    return len(listening & open_sockets(pid))


def test_without_them_nobody_listens(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component()) as one:
        assert "metrics" not in one.log
        assert listeners_of(one.pid) == 1
    (tmp_path / "with").mkdir()
    with measured(tmp_path / "with", http_guest.component()) as one:
        assert listeners_of(one.pid) == 2


def test_every_process_of_a_server_tells_of_all(tmp_path: Path) -> None:
    """They share the socket, so that one that ends takes neither the page nor its numbers along."""
    with listen_and_fork(3) as (address, pids):
        for _ in range(20):
            assert answers_of(page_of(address)) == {("GET", "2xx"): 1 + 2 + 3}
        assert page_of(address).pop("tandem_http_workers_started_total") == 3
        for number in (2, 0):
            os.kill(pids[number], signal.SIGKILL)
            os.waitpid(pids.pop(number), 0)
            assert answers_of(page_of(address)) == {("GET", "2xx"): 6}


def page_of(address: tuple[str, int]) -> Samples:
    with socket.create_connection(address, 20) as connection:
        return samples_of(body_of(exchange(connection, ASK)).decode())


@contextlib.contextmanager
def listen_and_fork(count: int) -> Iterator[tuple[tuple[str, int], list[int]]]:
    """Processes as those of a server; the first one has had one request, the second one two."""
    from shim.serve.report import Report

    report = Report("127.0.0.1:0", count)
    listener = report.bind()
    ready, told = os.pipe()
    pids = []
    try:
        for number in range(count):
            pid = os.fork()
            if pid == 0:
                _count_and_answer(report, listener, number, told)
            pids.append(pid)
        assert sum(len(os.read(ready, 1)) for _ in range(count)) == count
        yield listener.getsockname(), pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for fd in (ready, told):
            os.close(fd)
        listener.close()


def _count_and_answer(report: Any, listener: socket.socket, number: int, told: int) -> None:
    try:
        shared = SimpleNamespace(tally=None, service=SimpleNamespace(census=None), log=print)
        report.start(shared, listener, number)
        for _ in range(number + 1):
            shared.tally.began()
            shared.tally.answered(b"GET", 200, 0.1, None)
        os.write(told, b".")
        signal.pause()
    finally:
        os._exit(1)


def test_workers_are_counted_together(tmp_path: Path) -> None:
    """And one that is killed takes no number along, but what it had open."""
    with measured(tmp_path, http_guest.component(), workers=2) as server:
        found = numbers(server)
        while found.pop("tandem_http_workers_started_total") < 2:
            found = numbers(server)
        for _ in range(30):
            assert server.get("/a").startswith(b"HTTP/1.1 200 ")
        assert answers_of(wait_for(server, is_over(30))) == {("GET", "2xx"): 30}
        with server.connect() as busy:
            busy.sendall(b"POST /e HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nfi")
            read_until(busy, b"fi")
            workers = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            for worker in workers:
                os.kill(int(worker), signal.SIGKILL)
        found = wait_for(server, lambda found: is_over(30)(found) and has_started(found, 4))
        assert answers_of(found) == {("GET", "2xx"): 30}
        assert server.get("/a").startswith(b"HTTP/1.1 200 ")
        assert server.end() == 0


def has_started(found: Samples, count: int) -> bool:
    return Samples(found).pop("tandem_http_workers_started_total") == count


def test_an_instance_that_stays_is_one(tmp_path: Path) -> None:
    with measured(tmp_path, http_guest.component(), reuse=5) as server:
        for _ in range(10):
            assert server.get("/a").startswith(b"HTTP/1.1 200 ")
        count = "tandem_http_request_duration_seconds_count"
        found = wait_for(server, lambda found: Samples(found).pop(count) == 10)
        # The next request may come before the instance is free.
        assert 2 <= found.pop("tandem_http_instances_made_total") < 10


def test_fuel_is_each_requests_own(tmp_path: Path) -> None:
    """Also where the instance stays."""
    with measured(tmp_path, http_guest.component(), reuse=1000, fuel=500) as server:
        for _ in range(50):
            assert server.get("/a").startswith(b"HTTP/1.1 200 ")
        found = numbers(server)
        assert found.pop("tandem_http_instances_made_total") < 5
