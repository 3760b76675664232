"""`tandem run` while things are killed at random moments, and clients that are none: what runs runs
once, and nothing is left.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.daemon.wire import pack_request
from shim.runner import wire
from tests.integration.installed import TIMEOUT_S, Installed, installed
from tests.support import guests, leaks
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root

ROUNDS = 40
# About what one run takes.
_SPREAD_S = 0.03


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Installed]:
    with installed() as node:
        leaks.allow_reserve(node.home.socket)
        node.run("tandem", "run", str(module(tmp_path)))
        yield node


def module(directory: Path) -> Path:
    path = directory / "hello.wasm"
    path.write_bytes(guests.binary(guests.HELLO))
    return path


def dead_groups() -> set[str]:
    """The control groups of runners that are gone."""
    return {
        str(path)
        for path in Path("/sys/fs/cgroup").glob("**/tandem/run/*-*")
        if path.is_dir() and not Path(f"/proc/{path.name.partition('-')[0]}").exists()
    }


@pytest.mark.parametrize("victim", ["client", "daemon", "child of the daemon"])
def test_kill_at_a_random_moment(node: Installed, tmp_path: Path, victim: str) -> None:
    chance = random.Random(victim)
    path = module(tmp_path)
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            [node.bin / "tandem", "run", "--memory", "64Mi", path],
            env=node.env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.random() * _SPREAD_S)
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(chosen(node, process, victim, chance), signal.SIGKILL)
        out, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode in {0, 125, 137, -signal.SIGKILL}
        # Never twice, and always where it says so.
        assert out in {b"", b"hello\n"}
        assert out or process.returncode != 0
    # The next run with a limit removes what the last one has left, if it has.
    wait_for("the guests' end", lambda: not guests_left(node))
    done = node.run("tandem", "run", "--memory", "64Mi", str(path))
    assert (done.returncode, done.stdout) == (0, b"hello\n")
    assert dead_groups() == set()


def chosen(
    node: Installed, client: subprocess.Popen[bytes], victim: str, chance: random.Random
) -> int:
    daemon = node.home.daemon_pid
    match victim:
        case "client":
            return client.pid
        case "daemon":
            return daemon or client.pid
        case _:
            children = sorted(process.pid for process in leaks.descendants(daemon or client.pid))
            return chance.choice(children)


def guests_left(node: Installed) -> list[int]:
    """What lives and is neither the daemon nor one of its idle children: those have one thread and
    the listening socket."""
    reserve = node.home.daemon_pid
    found = []
    for process in leaks.descendants(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
        with contextlib.suppress(OSError):
            if process.pid != reserve and len(os.listdir(f"/proc/{process.pid}/task")) > 1:
                found.append(process.pid)
    return found


@pytest.mark.parametrize(
    "said",
    [
        b"",
        wire.STDIO,
        b"x",
        wire.STDIO * 9,
    ],
)
def test_client_that_hands_over_no_stdio(node: Installed, tmp_path: Path, said: bytes) -> None:
    for _ in range(6):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(str(node.home.socket))
            client.sendall(pack_request([wire.RUN, str(module(tmp_path))], [], "/") + said)
            if said:
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(99) == b""
    assert node.run("tandem", "run", str(module(tmp_path))).stdout == b"hello\n"
    assert "Traceback" not in (node.run_dir / "tandemd.log").read_text()


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_client_that_hands_over_too_few_or_too_many(
    node: Installed, tmp_path: Path, count: int
) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(str(node.home.socket))
        client.sendall(pack_request([wire.RUN, str(module(tmp_path))], [], "/"))
        socket.send_fds(client, [wire.STDIO], [2] * count)
        assert not wire.is_final(client.recv(99))
    assert node.run("tandem", "run", str(module(tmp_path))).stdout == b"hello\n"
