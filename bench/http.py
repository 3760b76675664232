"""`http`: requests to a served component against `wasmtime serve`, which has a fresh instance for
each, as we have by default.

Both serve the same component, compiled before, on one core that is theirs; the client has the other
one, one connection, and asks for the next answer when it has the last; every byte is checked.
Rounds alternate. `ratio` is their processor time for a request over ours, which says how many
requests a core serves, whatever else the machine does; p50 and p99 are wall times of the client.
The cases that say so compare our reuse of instances, which a pod has to ask for, with their fresh
ones: that is another deal, and no budget is set for it.
"""

import contextlib
import os
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import http_guests
from bench.node import Node, reap
from bench.result import Budget, Result, progress
from bench.shims import Containerd, Workload

# enough that the kernel's clock ticks of 10 ms make less than a tenth of a difference
_REQUESTS = 500
_WARM_UP = 20
_REQUEST = b"GET /page HTTP/1.1\r\nhost: bench\r\n\r\n"
_BODY = b"hello\n"
_OUR_PORT, _THEIR_PORT = 18080, 18081
_TICKS_S = os.sysconf("SC_CLK_TCK")
_BUDGETS = {"javascript": 0.55, "python": 0.85}
_START_S = 60.0
_REUSE = 1000
# A component of `fetch` events answers one in its life, so that it cannot stay.
_CASES = (
    ("javascript", http_guests.javascript, 1),
    ("python", http_guests.python, 1),
    (
        f"javascript handler, up to {_REUSE} per instance of ours",
        http_guests.javascript_handler,
        _REUSE,
    ),
    (f"python, up to {_REUSE} per instance of ours", http_guests.python, _REUSE),
)
_ANNOTATION = "io.containerd.tandem.v1/http-reuse"


@dataclass(frozen=True)
class Case:
    """One component: seconds of processor time for a request, and the client's wall times."""

    name: str
    ratio: float
    ours: float
    theirs: float
    p50: float
    p99: float
    their_p50: float
    their_p99: float

    @property
    def budget(self) -> float | None:
        """What `ratio` is to reach."""
        return _BUDGETS.get(self.name)


@dataclass(frozen=True)
class HttpResult(Result):
    """The case that is nearest to its budget, and all of them."""

    cases: Sequence[Case] = ()

    def document(self) -> dict[str, object]:
        """What --json writes."""
        return super().document() | {"cases": [vars(case) for case in self.cases]}


def run(node: Node, samples: int) -> Result:
    """Measure."""
    cases = []
    with Containerd(node) as containerd:
        for name, make, reuse in _CASES:
            component = make()
            workload = containerd.tandem(component.read_bytes(), f"{component.stem}-{reuse}")
            server = partial(_our_server, containerd, workload, reuse)
            cases.append(_compare(server, component, name, samples))
    worst = min(
        (case for case in cases if case.budget), key=lambda case: case.ratio / (case.budget or 1.0)
    )
    return HttpResult(
        name="http",
        samples=samples,
        median=worst.ours,
        ratio=worst.ratio,
        unit="s",
        theirs=worst.theirs,
        against=f"wasmtime serve, {worst.name}",
        budget=Budget(worst.budget or 1.0, 1.0, more_is_better=True),
        cases=cases,
    )


def _compare(
    our_server: Callable[[], AbstractContextManager[int]], component: Path, name: str, samples: int
) -> Case:
    with our_server() as ours, _their_server(component) as theirs:
        rounds: dict[int, list[tuple[float, list[float]]]] = {ours: [], theirs: []}
        ports = {ours: _OUR_PORT, theirs: _THEIR_PORT}
        with _own_core(ours, theirs):
            for number in range(samples):
                progress(f"http: {name}, round {number + 1} of {samples}")
                order = (ours, theirs) if number % 2 else (theirs, ours)
                for pid in order:
                    rounds[pid].append(_round(pid, ports[pid]))
        progress("")
    our_cpu, their_cpu = (
        statistics.median(cpu for cpu, _ in rounds[pid]) for pid in (ours, theirs)
    )
    our_p50, our_p99 = _percentiles(rounds[ours])
    their_p50, their_p99 = _percentiles(rounds[theirs])
    case = Case(
        name=name,
        ratio=their_cpu / our_cpu,
        ours=our_cpu,
        theirs=their_cpu,
        p50=our_p50,
        p99=our_p99,
        their_p50=their_p50,
        their_p99=their_p99,
    )
    print(
        f"http, {name}: {our_cpu * 1e3:.2f} ms of a core against {their_cpu * 1e3:.2f} ms,"
        f" p50 {our_p50 * 1e3:.2f} against {their_p50 * 1e3:.2f} ms,"
        f" p99 {our_p99 * 1e3:.2f} against {their_p99 * 1e3:.2f} ms"
    )
    return case


def _percentiles(rounds: Sequence[tuple[float, list[float]]]) -> tuple[float, float]:
    hundredths = statistics.quantiles((wall for _, walls in rounds for wall in walls), n=100)
    return hundredths[49], hundredths[98]


def _round(pid: int, port: int) -> tuple[float, list[float]]:
    """Processor time for a request, and the wall times of all."""
    walls = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(_WARM_UP):
            _ask(connection)
        before = _cpu_s(pid)
        for _ in range(_REQUESTS):
            begin = time.perf_counter()
            _ask(connection)
            walls.append(time.perf_counter() - begin)
        return (_cpu_s(pid) - before) / _REQUESTS, walls


def _ask(connection: socket.socket) -> None:
    connection.sendall(_REQUEST)
    answer = b""
    while not _is_whole(answer):
        piece = connection.recv(1 << 16)
        if not piece:
            raise RuntimeError(f"the answer ends early: {answer!r}")
        answer += piece


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"not answered: {head!r}")
    if b"chunked" in head.lower():
        return body.endswith(b"0\r\n\r\n") and body == b"6\r\n" + _BODY + b"\r\n0\r\n\r\n"
    return body == _BODY


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_S


@contextlib.contextmanager
def _own_core(*pids: int) -> Iterator[None]:
    """Servers on the first core, this process on the others."""
    mine = os.sched_getaffinity(0)
    first = min(mine)
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {first})
    os.sched_setaffinity(0, mine - {first} or mine)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


@contextlib.contextmanager
def _our_server(containerd: Containerd, workload: Workload, reuse: int) -> Iterator[int]:
    container = containerd.prepare(
        workload,
        f"WASMTIME_HTTP_PROXY_SOCKET_ADDR=127.0.0.1:{_OUR_PORT}",
        own_network=False,
        annotations={_ANNOTATION: str(reuse)},
    )
    container.connect(container.start_shim())
    pid = container.create()
    container.start()
    try:
        _wait_for(_OUR_PORT, lambda: True)
        yield pid
    finally:
        container.kill()
        container.finish()
        reap()


@contextlib.contextmanager
def _their_server(component: Path) -> Iterator[int]:
    artefact = http_guests.compiled(component)
    options = ["--allow-precompiled", "-S", "cli", "--addr", f"127.0.0.1:{_THEIR_PORT}"]
    command: list[str | Path] = [http_guests.wasmtime_command(), "serve", *options, artefact]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(_THEIR_PORT, lambda: server.poll() is None)
            yield server.pid
        finally:
            server.kill()


def _wait_for(port: int, lives: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        if not lives() or time.monotonic() > deadline:
            raise RuntimeError(f"nobody serves port {port}")
        time.sleep(0.02)
