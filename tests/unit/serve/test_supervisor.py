"""The supervisor where the kernel makes no process, and what it says of those that have ended."""

import errno
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from shim.serve import supervisor
from shim.serve.supervisor import Supervisor


class Work:
    """Workers that end at once."""

    def __init__(self, status: int = 0) -> None:
        self.status = status

    def confine(self, parent: int) -> None:
        assert parent == os.getppid()

    def serve(self, listener: socket.socket, index: int, stop: int) -> int:
        if self.status < 0:
            os.kill(os.getpid(), -self.status)
        return self.status


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    numbers = (*supervisor.STOP_SIGNALS, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def run(work: Work, monkeypatch: pytest.MonkeyPatch, count: int = 2) -> tuple[int, list[str]]:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.001)
    said: list[str] = []
    with socket.socket() as listener:
        return Supervisor(work, listener, count, said.append).run(), said


@pytest.mark.parametrize(
    ("status", "end", "words"),
    [
        (3, 3, "ended with status 3; another takes its place"),
        (0, 125, "ended with status 0; another takes its place"),
        (-12, 140, "was killed by signal 12 (User defined signal 2); another takes its place"),
        (-9, 137, "(Killed), by the memory limit or by somebody outside; another takes its place"),
    ],
)
def test_workers_that_end_at_once(
    monkeypatch: pytest.MonkeyPatch, status: int, end: int, words: str
) -> None:
    ended, said = run(Work(status), monkeypatch)
    assert ended == end
    assert said[0].endswith(words)
    assert "8 workers in a row ended within 5 s: the container ends" in said


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EAGAIN, "the pids limit of the container (linux.resources.pids), or of its pod"),
        (errno.ENOMEM, "the memory limit of the container allows no more processes"),
        (errno.EPERM, "the seccomp profile of the container (linux.seccomp) forbids it"),
    ],
)
def test_no_process_is_made(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def fork() -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(supervisor, "_SHORTEST_REFUSED_S", 0.001)
    ended, said = run(Work(), monkeypatch)
    assert ended == 1
    assert said[0].startswith(f"worker 0 cannot be made: {os.strerror(number)}: {words}")
    assert said[0].endswith(
        "with [http] workers = 1 (annotation io.containerd.tandem.v1/http-workers) none is made"
    )
    assert sum("cannot be made" in text for text in said) == 1


def test_one_that_cannot_be_confined_says_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Unconfined(Work):
        def confine(self, parent: int) -> None:
            raise OSError(errno.EPERM, "no more filters")

    monkeypatch.setattr(supervisor, "_FIRST_PAUSE_S", 0.001)
    with socket.socket() as listener:
        status = Supervisor(Unconfined(), listener, 1, lambda text: print(text, flush=True)).run()
    assert status == 125
    assert "worker 0 cannot serve: [Errno 1] no more filters" in capfd.readouterr().out
