"""`tandem run` and whatever dies, is signalled or is not there: nothing is left, nothing hangs."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.installed import TIMEOUT_S, Installed, executables, installed
from tests.support import guests, leaks
from tests.support.waiting import wait_for

pytestmark = pytest.mark.root

# Says that it runs, and then reads for ever.
READY = r"""
#include <stdio.h>
int main(void) {
  char line[99];
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) { printf("got %s", line); fflush(stdout); }
  return 4;
}
"""
Process = subprocess.Popen[bytes]


@pytest.fixture
def node() -> Iterator[Installed]:
    with installed() as node:
        leaks.allow_reserve(node.home.socket)
        yield node


@pytest.fixture
def daemon(node: Installed) -> None:
    """A daemon that runs, and is no child of a client that a test has to do with."""
    node.run("tandem", "run", "none")


def begin(node: Installed, *words: str | Path) -> Process:
    """A guest that runs, and waits for input."""
    process = subprocess.Popen(
        [node.bin / "tandem", "run", *words, guests.compile_c(READY)],
        env=node.env(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return process


def finish(process: Process) -> tuple[int, bytes]:
    _, err = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, err


def instance_of(node: Installed) -> int:
    """The one process below the daemon that has threads."""
    return wait_for("the instance", lambda: next(iter(with_threads()), None))


def with_threads() -> list[int]:
    found = []
    for process in leaks.descendants(os.getpid()):
        with contextlib.suppress(OSError):
            if len(os.listdir(f"/proc/{process.pid}/task")) > 1:
                found.append(process.pid)
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def run_groups() -> set[str]:
    """The control groups of dead runners."""
    return {
        str(path)
        for path in Path("/sys/fs/cgroup").glob("**/tandem/run/*-*")
        if path.is_dir() and not Path(f"/proc/{path.name.partition('-')[0]}").exists()
    }


@pytest.mark.parametrize(
    ("number", "status"),
    [
        # It ends as the guest did, so that a shell sees a Ctrl-C as one.
        (signal.SIGINT, -signal.SIGINT),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
        # Without the core dump, which would be Python's.
        (signal.SIGQUIT, 128 + signal.SIGQUIT),
    ],
)
def test_signals_reach_the_guest(node: Installed, number: int, status: int) -> None:
    process = begin(node)
    process.send_signal(number)
    assert process.wait(TIMEOUT_S) == status
    assert finish(process) == (status, b"")
    wait_for("the guest's end", lambda: not with_threads())


def test_ignored_signal_stays_ignored(node: Installed) -> None:
    """As nohup has it, and a shell's background."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = begin(node)
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    assert finish(ended(process)) == (4, b"")


def test_guest_stops_and_goes_on_with_its_client(node: Installed) -> None:
    process = begin(node)
    instance = instance_of(node)
    process.send_signal(signal.SIGTSTP)
    wait_for("the guest's stop", lambda: state(instance) == "T" == state(process.pid))
    process.send_signal(signal.SIGCONT)
    wait_for("the guest's going on", lambda: state(instance) == "S")
    assert process.stdin
    process.stdin.close()
    process.stdin = None
    assert finish(process) == (4, b"")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_guest_dies_with_its_client(node: Installed) -> None:
    process = begin(node, "--memory", "64Mi")
    instance = instance_of(node)
    process.kill()
    process.communicate()
    wait_for("the guest's end", lambda: not leaks.descendants(instance) and not alive(instance))
    wait_for("the group's end", lambda: not run_groups())


def alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("words", [(), ("--memory", "64Mi")])
def test_guest_dies_with_its_runner(node: Installed, words: tuple[str, ...]) -> None:
    process = begin(node, *words)
    instance = instance_of(node)
    os.kill(parent_of(instance), signal.SIGKILL)
    assert process.wait(TIMEOUT_S) == 125
    status, err = finish(process)
    assert status == 125
    assert b"the process that kept the guest is gone" in err
    wait_for("the guest's end", lambda: not alive(instance))
    # Its client, or the next run with a limit, removes the dead runner's group.
    if words and run_groups():
        assert finish(ended(begin(node, *words)))[0] == 4
    assert run_groups() == set()


def ended(process: Process) -> Process:
    assert process.stdin
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_guest_outlives_the_daemon(node: Installed, number: int) -> None:
    process = begin(node)
    node.home.stop_daemon(number)
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"line\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"got line\n"
    assert finish(ended(process)) == (4, b"")


def test_guest_that_is_killed(node: Installed) -> None:
    process = begin(node, "--memory", "64Mi")
    os.kill(instance_of(node), signal.SIGKILL)
    assert process.wait(TIMEOUT_S) == 137
    assert finish(process) == (137, b"")


def test_terminal_is_the_guests(node: Installed) -> None:
    """It reads what is typed, and Ctrl-C and Ctrl-\\ end it, as any program's."""
    for key, code in ((b"\x03", -signal.SIGINT), (b"\x1c", 128 + signal.SIGQUIT)):
        command = [str(node.bin / "tandem"), "run", str(guests.compile_c(READY))]
        pid, master = pty.fork()
        if pid == 0:
            os.execve(command[0], command, node.env())
        try:
            read_until(master, b"ready\r\n")
            os.write(master, b"typed\n")
            read_until(master, b"got typed\r\n")
            os.write(master, key)
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == code
        finally:
            os.close(master)


def read_until(master: int, wanted: bytes) -> None:
    received = b""
    deadline = time.monotonic() + TIMEOUT_S
    while wanted not in received:
        assert time.monotonic() < deadline, received
        if select.select([master], [], [], 0.1)[0]:
            received += os.read(master, 4096)


def hello(node: Installed, tmp_path: Path) -> subprocess.CompletedProcess[bytes]:
    path = tmp_path / "hello.wasm"
    path.write_bytes(guests.binary(guests.HELLO))
    return node.run("tandem", "run", "--memory", "64Mi", str(path))


def test_daemon_is_started_where_none_is(node: Installed, tmp_path: Path) -> None:
    assert not node.home.socket.exists()
    done = hello(node, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")
    assert node.home.daemon_pid


def test_socket_of_a_dead_daemon_is_replaced(node: Installed, tmp_path: Path) -> None:
    assert hello(node, tmp_path).returncode == 0
    node.home.stop_daemon(signal.SIGKILL)
    assert node.home.socket.exists()
    done = hello(node, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")


def test_file_in_the_sockets_place_is_replaced(node: Installed, tmp_path: Path) -> None:
    node.home.socket.write_text("no socket")
    done = hello(node, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")


def test_without_a_daemon_it_runs_all_the_same(tmp_path: Path) -> None:
    copies = executables(tmp_path)
    (copies / "tandemd").unlink()
    with installed(copies) as node:
        done = hello(node, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")
        process = begin(node)
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == -signal.SIGTERM
        assert finish(process) == (-signal.SIGTERM, b"")
        process = begin(node)
        instance = instance_of(node)
        process.kill()
        process.communicate()
        wait_for("the guest's end", lambda: not alive(instance))
        assert b"No such option" in node.run("tandem", "run", "--what").stderr


def test_daemon_that_hangs_up_is_done_without(node: Installed, tmp_path: Path) -> None:
    """Somebody else's socket in the daemon's place, who holds its lock, too."""
    assert hello(node, tmp_path).returncode == 0
    node.home.stop_daemon()
    lock = os.open(node.run_dir / "tandemd.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(node.home.socket))
        listener.listen()
        path = tmp_path / "hello.wasm"
        process = subprocess.Popen(
            [node.bin / "tandem", "run", path], env=node.env(), stdout=subprocess.PIPE
        )
        listener.settimeout(TIMEOUT_S)
        while process.poll() is None:
            if select.select([listener], [], [], 0.05)[0]:
                listener.accept()[0].close()
        assert process.stdout
        assert (process.returncode, process.stdout.read()) == (0, b"hello\n")
        process.stdout.close()
    os.close(lock)
    node.home.socket.unlink()


def test_signal_while_it_compiles(node: Installed, tmp_path: Path) -> None:
    assert hello(node, tmp_path).returncode == 0
    process = subprocess.Popen(
        [node.bin / "tandem", "run", guests.cpython_wasm(), "-c", "print(1)"],
        env=node.env(),
        stdout=subprocess.PIPE,
    )
    wait_for("the loader", with_threads)
    process.terminate()
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (-signal.SIGTERM, b"")
    wait_for("the loader's end", lambda: not with_threads())


def test_wrong_configuration_is_told(node: Installed, tmp_path: Path) -> None:
    node.home.config.write_text("[cache]\nsize = 1\n")
    done = hello(node, tmp_path)
    assert done.returncode == 125
    assert b"has an unknown key 'size'" in done.stderr
