"""Exec with a client at the other end: standard input, a terminal and its size, Ctrl-C."""

import io
import os
import tarfile
from functools import partial

import pytest

from tests.cri.conftest import EVERY_KIND, LINUX, WASM, Case, Home, kinds, pids_of_pods
from tests.support import probe
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec
from tests.support.probe import probe as do
from tests.support.streaming import exec_session
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@kinds(EVERY_KIND)
def test_exit_code_and_streams(containerd: Containerd, case: Case, home: Home) -> None:
    command = [*do("say", "out"), *do("err", "problem"), "exit", "7"]
    with exec_session(containerd, home.probe, "/app", *command) as session:
        assert session.wait() == 7
        assert (session.stdout, session.stderr) == ("out\n", "problem\n")


@kinds(EVERY_KIND)
def test_stdin_is_read_as_it_comes(containerd: Containerd, case: Case, home: Home) -> None:
    with exec_session(containerd, home.probe, "/app", "echo", stdin=True) as session:
        for word in ("one", "two"):
            session.send(f"{word}\n")
            session.read_until(f"got {word}\n")
        session.send("bye\n")
        assert session.wait() == 0


@kinds(EVERY_KIND)
def test_end_of_stdin_is_told(containerd: Containerd, case: Case, home: Home) -> None:
    command = [*do("stdin"), "say", "end"]
    with exec_session(containerd, home.probe, "/app", *command, stdin=True) as session:
        session.send("all of it")
        session.end_stdin()
        assert session.wait() == 0
        assert session.stdout == "all of itend\n"


@kinds(EVERY_KIND)
def test_a_megabyte_comes_back_whole(containerd: Containerd, case: Case, home: Home) -> None:
    text = "".join(f"{number:07}\n" for number in range(1 << 17))
    with exec_session(containerd, home.probe, "/app", "stdin", stdin=True) as session:
        for start in range(0, len(text), 1 << 16):
            session.send(text[start : start + (1 << 16)])
            session.read_some()
        session.end_stdin()
        assert session.wait() == 0
        assert session.stdout == text


@kinds(EVERY_KIND)
def test_terminal_is_one(containerd: Containerd, case: Case, home: Home) -> None:
    command = [*do("tty"), *do("err", "problem"), "exit", "4"]
    with exec_session(containerd, home.probe, "/app", *command, stdin=True, tty=True) as session:
        assert session.wait() == 4
        assert session.stdout == "yes yes yes\nproblem\n"
    assert home.probe.exec("/app", "tty").stdout == "no no no\n"


@kinds(EVERY_KIND)
def test_terminal_echoes_and_ends_by_ctrl_d(containerd: Containerd, case: Case, home: Home) -> None:
    with exec_session(containerd, home.probe, "/app", "echo", stdin=True, tty=True) as session:
        session.send("one\n")
        session.read_until("one\ngot one\n")
        session.send("\x04")
        assert session.wait() == 0


@kinds(EVERY_KIND)
def test_ctrl_c_interrupts(containerd: Containerd, case: Case, home: Home) -> None:
    command = [*do("say", "busy"), "sleep", "60"]
    with exec_session(containerd, home.probe, "/app", *command, stdin=True, tty=True) as session:
        session.read_until("busy")
        session.send("\x03")
        assert session.wait() == 130
    assert home.probe.is_running()


@kinds(EVERY_KIND)
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_nothing_is_left_after_a_client_that_leaves(
    containerd: Containerd, case: Case, home: Home, tty: bool
) -> None:
    """containerd 2.1 kills the program then, 1.x lets it run on: it ends when it is told."""
    before = pids_of_pods(containerd)
    (home.shared / "go").unlink(missing_ok=True)
    command = [*do("say", "here"), *do("until", "/shared/go")]
    command += do("lines", "100")
    with exec_session(containerd, home.probe, "/app", *command, stdin=True, tty=tty) as session:
        session.read_until("here")
    (home.shared / "go").touch()
    wait_for("its end", lambda: pids_of_pods(containerd) <= before)


@kinds(LINUX)
def test_terminal_has_the_size_it_is_given(containerd: Containerd, case: Case, home: Home) -> None:
    with exec_session(containerd, home.shell, "sh", stdin=True, tty=True) as session:
        for width, height in ((123, 45), (80, 24), (211, 77)):
            session.resize(width, height)
            session.send(f"until stty size | grep '{height} {width}'; do sleep 0.05; done\n")
            session.read_until(f"^{height} {width}\n")
        session.send("exit 6\n")
        assert session.wait() == 6


@kinds(LINUX)
def test_program_is_told_of_a_resize(containerd: Containerd, case: Case, home: Home) -> None:
    watch = "trap 'stty size; exit 8' WINCH; echo ready; while :; do sleep 0.05; done"
    with exec_session(containerd, home.shell, "sh", "-c", watch, tty=True) as session:
        session.read_until("ready")
        session.resize(132, 43)
        assert session.wait() == 8
        assert "43 132\n" in session.stdout


@kinds([WASM])
def test_terminal_of_a_guest_has_a_size(containerd: Containerd, case: Case, home: Home) -> None:
    """WASI has no call for it, so that it is the terminal that is asked."""
    before = pids_of_pods(containerd)
    with exec_session(containerd, home.probe, "/app", "echo", stdin=True, tty=True) as session:
        session.send("one\n")
        session.read_until("got one\n")
        (guest,) = pids_of_pods(containerd) - before
        for size in ((123, 45), (80, 24)):
            session.resize(*size)
            wait_for(f"size {size}", partial(has_size, guest, size))
        session.send("bye\n")
        assert session.wait() == 0


def has_size(pid: int, size: tuple[int, int]) -> bool:
    """Whether the terminal that a process reads from has these columns and lines."""
    terminal = os.open(f"/proc/{pid}/fd/0", os.O_RDWR | os.O_NOCTTY)
    try:
        return os.get_terminal_size(terminal) == size
    finally:
        os.close(terminal)


@kinds(LINUX)
def test_files_are_copied_in_and_out(containerd: Containerd, case: Case, home: Home) -> None:
    copy_in_and_out(containerd, home.shell)


@kinds([WASM])
def test_files_are_copied_where_the_image_has_tar(
    containerd: Containerd, case: Case, home: Home
) -> None:
    with home.pod.start(ContainerSpec("both", probe.BOTH, args=["sleep", "60"])) as container:
        copy_in_and_out(containerd, container)
        assert container.exec("/app.wasm", "ls", "/tmp/copied").stdout == "data\n"


def copy_in_and_out(containerd: Containerd, container: Container) -> None:
    """What `kubectl cp` does: tar at the other end of a pipe."""
    data = os.urandom(3 << 20)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("copied/data")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    command = ["tar", "-xmf", "-", "-C", "/tmp"]
    with exec_session(containerd, container, *command, stdin=True) as session:
        session.send(packed.getvalue())
        session.end_stdin()
        assert session.wait() == 0, session.stderr
    with exec_session(containerd, container, "tar", "cf", "-", "-C", "/tmp", "copied") as session:
        assert session.wait() == 0, session.stderr
        with tarfile.open(fileobj=io.BytesIO(session.output)) as archive:
            copied = archive.extractfile("copied/data")
            assert copied is not None
            assert copied.read() == data


@kinds(LINUX)
def test_job_control_and_editing_work(containerd: Containerd, case: Case, home: Home) -> None:
    with exec_session(containerd, home.shell, "sh", stdin=True, tty=True) as session:
        session.read_until("# ")
        session.send("sleep 60\n")
        session.read_until("sleep 60\n")
        wait_for("the command", lambda: "sleep 60" in home.shell.exec("ps").stdout)
        session.send("\x1a")
        session.read_until("Stopped")
        session.send("kill %1; fg; echo gone\n")
        session.read_until("^gone\n")
        session.send("echo ab\x7fc\n")
        session.read_until("^ac\n")
        session.send("exit 6\n")
        assert session.wait() == 6
