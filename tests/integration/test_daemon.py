"""The node daemon: started on demand, once; its end costs no pod and no next call."""

import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from shim.daemon.request import Request, decode_answer, encode_request
from tests.integration.installed import LAUNCHERS, TIMEOUT_S, Installed, installed
from tests.support.descriptors import open_files
from tests.support.leaks import descendants
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root

C_LAUNCHER = LAUNCHERS[0]


@pytest.fixture
def node() -> Iterator[Installed]:
    with installed() as node:
        yield node


@pytest.fixture
def daemon(node: Installed) -> int:
    """The pid of a running daemon."""
    assert node.run(C_LAUNCHER, "-v").returncode == 0
    return pid_of(node)


def pid_of(node: Installed) -> int:
    return wait_for("daemon", lambda: node.home.daemon_pid)


def gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return not os.path.exists(f"/proc/{pid}")


def ask(node: Installed, data: bytes) -> bytes:
    """Send bytes to the daemon; return what it answers to its end."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(str(node.home.socket))
        connection.sendall(data)
        received = b""
        # A daemon that leaves bytes unread resets the connection, after its answer.
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(1 << 16):
                received += chunk
        return received


VERSION = encode_request(Request(("shim", "-v"), (), "/"))


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_daemon_is_started_once_by_many_at_once(node: Installed, launcher: str) -> None:
    processes = [
        subprocess.Popen(
            [node.bin / launcher, "-v"],
            env=node.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(8)
    ]
    for process in processes:
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, err) == (0, b"")
        assert out
    daemon = pid_of(node)
    parents = {read_parent(p.pid) for p in descendants(os.getpid()) if is_tandemd(p.pid)}
    assert parents <= {daemon, os.getpid()}
    daemons = [p.pid for p in descendants(os.getpid()) if is_tandemd(p.pid)]
    assert [pid for pid in daemons if read_parent(pid) == os.getpid()] == [daemon]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_daemon_that_is_about_to_end_is_succeeded_at_once(node: Installed, launcher: str) -> None:
    """It still has the lock, and no socket any more."""
    ending = os.open(node.run_dir / "tandemd.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(ending, fcntl.LOCK_EX)
    begun = time.monotonic()
    process = subprocess.Popen(
        [node.bin / launcher, "-v"],
        env=node.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    time.sleep(0.3)
    assert process.poll() is None
    os.close(ending)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out[:10], err) == (0, b"containerd", b"")
    assert time.monotonic() - begun < 8
    assert pid_of(node)


def is_tandemd(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"/tandemd\0" in file.read()
    return False


def read_parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_daemon_has_one_thread_and_a_silent_log(node: Installed, daemon: int) -> None:
    assert node.start(C_LAUNCHER, "c").returncode == 0
    assert len(os.listdir(f"/proc/{daemon}/task")) == 1
    assert (node.run_dir / "tandemd.log").read_text() == ""


def test_daemon_has_nothing_of_the_launchers(node: Installed) -> None:
    node.run(C_LAUNCHER, "-v", env={"SECRET": "x"})
    daemon = pid_of(node)
    with open(f"/proc/{daemon}/environ", "rb") as file:
        names = {entry.partition(b"=")[0] for entry in file.read().split(b"\0") if entry}
    assert names == {b"PATH", b"TANDEM_SOCKET", b"TANDEM_CONFIG"}
    assert os.readlink(f"/proc/{daemon}/cwd") in {"/", "/proc"}
    assert os.getsid(daemon) == daemon


@pytest.mark.usefixtures("daemon")
def test_second_daemon_leaves_the_first_alone(node: Installed) -> None:
    done = node.run("tandemd")
    assert (done.returncode, done.stdout) == (0, b"")
    assert f"another daemon serves {node.home.socket} already" in done.stderr.decode()
    assert ask(node, VERSION)


def test_daemon_in_the_foreground_serves(node: Installed) -> None:
    process = subprocess.Popen([node.bin / "tandemd"], env=node.env(), stderr=subprocess.PIPE)
    wait_for("socket", lambda: node.home.daemon_pid)
    assert node.run(C_LAUNCHER, "-v").returncode == 0
    assert node.home.daemon_pid == process.pid
    process.terminate()
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_daemon_that_is_told_to_end_takes_socket_and_spares_along(
    node: Installed, daemon: int, number: int
) -> None:
    os.kill(daemon, number)
    wait_for("end of the daemon", lambda: gone(daemon))
    assert sorted(path.name for path in node.run_dir.iterdir()) == [
        "s",
        "tandemd.lock",
        "tandemd.log",
    ]
    wait_for("end of its spares", lambda: not living_tandemds())
    assert node.run(C_LAUNCHER, "-v").returncode == 0
    assert pid_of(node) != daemon


def living_tandemds() -> list[int]:
    pids = [process.pid for process in descendants(os.getpid()) if is_tandemd(process.pid)]
    return [pid for pid in pids if not gone(pid)]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_daemon_that_is_killed_costs_no_pod_and_no_call(node: Installed, launcher: str) -> None:
    address = node.start(launcher, "sandbox", group="pod").stdout.decode()
    shim, daemon = node.connect(address), pid_of(node)
    os.kill(daemon, signal.SIGKILL)
    wait_for("end of the daemon", lambda: gone(daemon))
    assert node.home.socket.exists()
    assert node.connect(address) == shim

    joined = node.start(launcher, "container", group="pod")
    assert (joined.returncode, joined.stderr) == (0, b"")
    assert joined.stdout.decode() == address
    assert node.connect(address) == shim
    assert pid_of(node) != daemon


def test_daemon_that_is_told_to_end_spares_a_shim_that_it_has_not_missed_yet(
    node: Installed, daemon: int
) -> None:
    os.kill(daemon, signal.SIGSTOP)
    address = node.start(C_LAUNCHER, "sandbox").stdout.decode()
    shim = node.connect(address)
    os.kill(daemon, signal.SIGTERM)
    os.kill(daemon, signal.SIGCONT)
    wait_for("end of the daemon", lambda: gone(daemon))
    wait_for("end of its spares", lambda: living_tandemds() == [shim])
    assert node.connect(address) == shim


def test_shim_holds_nothing_of_the_daemon_or_the_launcher(node: Installed, daemon: int) -> None:
    shim = node.connect(node.start(C_LAUNCHER, "c").stdout.decode())
    held = open_files(shim)
    assert not [path for path in held if path.startswith((str(node.run_dir), "pipe:"))]
    assert sum(path.startswith("socket:") for path in held) <= 4
    assert os.readlink(f"/proc/{shim}/cwd") == "/"
    assert os.getsid(shim) == shim != daemon
    assert len(os.listdir(f"/proc/{shim}/task")) == 1
    for number in ("SigIgn", "SigBlk"):
        assert signal_mask(shim, number) & 1 << (signal.SIGCHLD - 1) == 0


def signal_mask(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1], 16) for line in file if line.startswith(name))


@pytest.mark.usefixtures("daemon")
def test_daemon_refuses_another_user(node: Installed) -> None:
    node.directory.chmod(0o711)
    node.run_dir.chmod(0o711)
    program = (
        "import os, socket, sys\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, node.home.socket], capture_output=True, check=False
    )
    assert b"PermissionError" in done.stderr
    # Even one whom a wrong mode lets in is refused.
    node.home.socket.chmod(0o666)
    program += "s.settimeout(9); print(s.recv(9999))\n"
    program = program.replace("socket.socket(socket.AF_UNIX).c", "s = socket.socket(1); s.c")
    done = subprocess.run(
        [sys.executable, "-c", program, node.home.socket], capture_output=True, check=False
    )
    assert b"user 65534 may not use this daemon" in done.stdout


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "wrong magic number"),
        (struct.pack("<5I", 0x314D4454, 2**32 - 1, 0, 2**32 - 1, 0), "larger than"),
        (struct.pack("<5I", 0x314D4454, 9, 9, 4, 0) + b"a\0b\0", "cut short or malformed"),
        (encode_request(Request((), (), "/")), "nothing to do"),
        (encode_request(Request(("shim", "-x"), ("nonsense",), "/")), "unknown flag -x"),
    ],
)
@pytest.mark.usefixtures("daemon")
def test_daemon_answers_hostile_bytes_with_an_error(
    node: Installed, data: bytes, text: str
) -> None:
    answer = decode_answer(ask(node, data))
    assert answer is not None
    assert (answer.status, answer.stdout) == (1, b"")
    assert text in answer.stderr.decode()


@pytest.mark.usefixtures("daemon")
def test_daemon_outlives_launchers_that_hang_up_or_say_nothing(node: Installed) -> None:
    silent = [socket.socket(socket.AF_UNIX) for _ in range(5)]
    for connection in silent:
        connection.connect(str(node.home.socket))
        connection.sendall(VERSION[:7])
    begun = time.monotonic()
    assert decode_answer(ask(node, VERSION)) is not None
    assert time.monotonic() - begun < 5
    for connection in silent:
        connection.close()
    assert decode_answer(ask(node, VERSION)) is not None
