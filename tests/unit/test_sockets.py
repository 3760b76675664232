"""Task sockets: one live listener per path, whoever comes at the same time."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim import sockets
from shim.rundir import RunDir, gateway_socket


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "d.sock")
    run_dir.create()
    return run_dir


@pytest.fixture
def path(run_dir: RunDir) -> Path:
    return run_dir.task_socket("a", "n", "g")


@pytest.fixture
def listener(run_dir: RunDir, path: Path) -> Iterator[socket.socket]:
    listener = sockets.bind_or_find(run_dir, path)
    assert listener is not None
    with listener:
        yield listener


@pytest.mark.usefixtures("listener")
def test_bind_finds_a_live_listener(run_dir: RunDir, path: Path) -> None:
    assert sockets.is_alive(path)
    assert sockets.bind_or_find(run_dir, path) is None


def test_bind_replaces_a_dead_socket(run_dir: RunDir, path: Path, listener: socket.socket) -> None:
    listener.close()
    assert path.exists()
    assert not sockets.is_alive(path)
    again = sockets.bind_or_find(run_dir, path)
    assert again is not None
    with again:
        assert sockets.is_alive(path)


@pytest.mark.usefixtures("listener")
def test_socket_is_for_root_alone(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600


def test_listen_leaves_the_umask_alone(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        sockets.listen(tmp_path / "s").close()
        with pytest.raises(FileNotFoundError):
            sockets.listen(tmp_path / "missing" / "s")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(old)


@pytest.mark.usefixtures("listener")
def test_remove_dead_leaves_a_live_socket(run_dir: RunDir, path: Path) -> None:
    sockets.remove_dead(run_dir, path)
    assert sockets.is_alive(path)


def test_remove_dead_removes_a_dead_one_once(
    run_dir: RunDir, path: Path, listener: socket.socket
) -> None:
    listener.close()
    for _ in range(2):
        sockets.remove_dead(run_dir, path)
        assert not path.exists()


def test_bind_by_many_at_once_has_one_winner(run_dir: RunDir, path: Path) -> None:
    go, announce = os.pipe()
    results, result = os.pipe()
    stop, hold = os.pipe()
    children = []
    for _ in range(8):
        pid = os.fork()
        if pid == 0:
            os.close(announce)
            os.close(hold)
            os.read(go, 1)
            # Bound to a name, so that a winner listens until everybody has looked.
            listener = sockets.bind_or_find(run_dir, path)
            os.write(result, b"f" if listener is None else b"w")
            os.read(stop, 1)
            os._exit(0)
        children.append(pid)
    os.close(announce)
    answers = b"".join(os.read(results, 1) for _ in children)
    os.close(hold)
    for fd in (go, results, result, stop):
        os.close(fd)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    assert sorted(answers) == sorted(b"w" + b"f" * 7)


_LISTEN = """
import socket, sys, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def shim(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that listens at `path`."""
    argv = [sys.executable, "-ISc", _LISTEN, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield process
        process.kill()


def leave_dead_socket(path: Path) -> None:
    sockets.listen(path).close()


def test_shim_without_its_gateway_is_killed_and_leaves_no_socket(
    run_dir: RunDir, path: Path, shim: subprocess.Popen[bytes]
) -> None:
    leave_dead_socket(gateway_socket(path))
    assert sockets.has_lost_gateway(path)
    sockets.remove_dead(run_dir, path)
    assert shim.wait(10) == -signal.SIGKILL
    assert not path.exists()
    assert not gateway_socket(path).exists()


def test_bind_replaces_a_shim_that_lost_its_gateway(
    run_dir: RunDir, path: Path, shim: subprocess.Popen[bytes]
) -> None:
    leave_dead_socket(gateway_socket(path))
    listener = sockets.bind_or_find(run_dir, path)
    assert listener is not None
    listener.close()
    assert shim.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("has_gateway", [True, False])
def test_shim_with_its_gateway_or_without_ever_one_is_left_alone(
    run_dir: RunDir, path: Path, shim: subprocess.Popen[bytes], has_gateway: bool
) -> None:
    with socket.socket() if not has_gateway else sockets.listen(gateway_socket(path)):
        assert not sockets.has_lost_gateway(path)
        sockets.remove_dead(run_dir, path)
        assert sockets.bind_or_find(run_dir, path) is None
    assert shim.poll() is None
    assert path.exists()


def test_gateways_socket_goes_with_its_dead_shims(run_dir: RunDir, path: Path) -> None:
    for each in (path, gateway_socket(path)):
        leave_dead_socket(each)
    sockets.remove_dead(run_dir, path)
    assert not path.exists()
    assert not gateway_socket(path).exists()
