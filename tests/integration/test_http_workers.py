"""Several processes for one container's requests: crashes stay in one, and all of them end."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.cgroup import locate
from shim.cgroup.update import update
from shim.oci.spec import Resources
from tests.support import http_guest
from tests.support.descriptors import open_sockets
from tests.support.http_server import Serving, ask, body_of, get, read_until, serving
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root

SLOW = b"GET /w HTTP/1.1\r\nhost: h\r\n\r\n"


def workers_of(server: Serving) -> list[int]:
    found = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in found]


def until_there_are(server: Serving, count: int) -> list[int]:
    wait_for(f"{count} workers", lambda: len(workers_of(server)) == count)
    return workers_of(server)


def crash(pid: int) -> None:
    """What a bug in native code does.

    wasmtime has a handler for its own traps, which lets a second one of another kind through.
    """
    wait_for(f"the end of {pid}", lambda: not _is_alive(pid, signal.SIGSEGV))


def _is_alive(pid: int, number: int = 0) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.rpartition(")")[2].split()[0] != "Z"


def connected(server: Serving, pids: list[int]) -> tuple[socket.socket, int]:
    """A connection, and the worker that has taken it."""
    connection = server.connect()
    connection.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
    read_until(connection, b"ok\n")
    ends = f":{server.port:04X} 0100007F:{connection.getsockname()[1]:04X} "
    (line,) = [line for line in Path("/proc/net/tcp").read_text().splitlines() if ends in line]
    (taker,) = [pid for pid in pids if f"socket:[{line.split()[9]}]" in open_sockets(pid)]
    return connection, taker


def one_in_each(server: Serving, pids: list[int]) -> dict[int, socket.socket]:
    found: dict[int, socket.socket] = {}
    # Who was made a moment ago may not accept yet.
    for _ in range(500):
        connection, pid = connected(server, pids)
        if pid in found:
            connection.close()
        found.setdefault(pid, connection)
        if len(found) == len(pids):
            return found
    raise AssertionError(f"only {list(found)} accept")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path, http_guest.component(), workers=2) as one:
        until_there_are(one, 2)
        yield one


def test_all_of_them_serve(two: Serving) -> None:
    assert " by 2 workers\n" in two.log
    connections = one_in_each(two, workers_of(two))
    for connection in connections.values():
        connection.close()
    for _ in range(20):
        assert body_of(two.get("/c")) == b"10"


def test_the_supervisor_has_one_thread_and_no_wasm(two: Serving) -> None:
    assert body_of(two.get("/a")) == b"ok\n"
    assert os.listdir(f"/proc/{two.pid}/task") == [str(two.pid)]
    assert all(len(os.listdir(f"/proc/{pid}/task")) > 1 for pid in workers_of(two))


def test_connections_are_spread(two: Serving) -> None:
    pids = workers_of(two)
    before = {pid: len(open_sockets(pid)) for pid in pids}
    connections = [two.connect() for _ in range(60)]
    for connection in connections:
        connection.sendall(b"GET /a HTTP/1.1\r\nhost: h\r\n\r\n")
    for connection in connections:
        read_until(connection, b"ok\n")
    taken = [len(open_sockets(pid)) - before[pid] for pid in pids]
    for connection in connections:
        connection.close()
    assert min(taken) > 5, taken


def test_a_crash_is_that_of_one_worker(two: Serving) -> None:
    pids = workers_of(two)
    connections = one_in_each(two, pids)
    crashes, lives = pids
    connections[lives].sendall(SLOW)
    read_until(connections[lives], b"first")
    crash(crashes)
    # What the other has in flight ends as if nothing had been.
    assert read_until(connections[lives], b"0\r\n\r\n").endswith(b"last\n\r\n0\r\n\r\n")
    for _ in range(10):
        assert body_of(two.get("/a")) == b"ok\n"
    said = f"worker 0 (process {crashes}) was killed by signal 11 (Segmentation fault)"
    two.wait_for_log(said)
    both = until_there_are(two, 2)
    assert lives in both
    assert crashes not in both
    for connection in (*one_in_each(two, both).values(), *connections.values()):
        connection.close()
    assert two.end() == 0


def test_a_signal_drains_all(two: Serving) -> None:
    connections = one_in_each(two, workers_of(two))
    for connection in connections.values():
        connection.sendall(SLOW)
        read_until(connection, b"first")
    os.kill(two.pid, signal.SIGTERM)
    for connection in connections.values():
        rest = b""
        while piece := connection.recv(1000):
            rest += piece
        assert rest.endswith(b"last\n\r\n0\r\n\r\n")
        connection.close()
    assert two.wait() == 0
    assert "ended with" not in two.log


def test_a_signal_to_all_drains_all(two: Serving) -> None:
    """As Kill with `all` sends it: init first."""
    for pid in (two.pid, *workers_of(two)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    assert two.wait() == 0
    assert "takes its place" not in two.log


def test_workers_die_with_their_supervisor(two: Serving) -> None:
    pids = workers_of(two)
    os.kill(two.pid, signal.SIGKILL)
    assert two.wait() == -signal.SIGKILL
    wait_for("the workers' end", lambda: not any(_is_alive(pid) for pid in pids))


def test_workers_that_die_and_die_end_the_container(two: Serving) -> None:
    deadline = time.monotonic() + 60
    while not os.waitid(os.P_PID, two.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        assert time.monotonic() < deadline, two.log
        for pid in workers_of(two):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert two.wait() == 137
    two.wait_for_log("workers in a row ended within 5 s: the container ends")


def test_a_worker_is_replaced_as_often_as_it_takes(two: Serving) -> None:
    """One that has lived for a while does not count as quick."""
    time.sleep(5.2)
    for _ in range(2):
        pid = workers_of(two)[0]
        os.kill(pid, signal.SIGKILL)
        two.wait_for_log(f"(process {pid}) was killed by signal 9 (Killed)")
        until_there_are(two, 2)
    assert body_of(two.get("/a")) == b"ok\n"
    assert two.log.count("takes its place") == 2


def test_the_pids_limit_is_named_and_the_others_serve(two: Serving) -> None:
    group = locate(f"/tandem-test-{os.getpid()}-workers", systemd=False)
    group.create(Resources(pids_limit=1))
    try:
        group.adopt(two.pid)
        gone, stays = workers_of(two)
        os.kill(gone, signal.SIGKILL)
        two.wait_for_log(
            "worker 0 cannot be made: Resource temporarily unavailable: the pids limit"
        )
        for _ in range(5):
            assert body_of(two.get("/a")) == b"ok\n"
        assert workers_of(two) == [stays]
        update(group, Resources(pids_limit=100))
        until_there_are(two, 2)
        assert two.end() == 0
    finally:
        group.kill()
        group.remove()


def test_the_crash_of_the_only_process_ends_the_container(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), workers=1) as one:
        assert body_of(one.get("/a")) == b"ok\n"
        crash(one.pid)
        assert one.wait() == -signal.SIGSEGV


def test_each_has_instances_that_stay(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component(), workers=2, reuse=100, concurrency=2) as one:
        pids = until_there_are(one, 2)
        for connection in one_in_each(one, pids).values():
            first, second = (ask(connection, get("/c"))[0] for _ in range(2))
            assert second == first + 1
            connection.close()
