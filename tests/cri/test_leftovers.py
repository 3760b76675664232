"""Many sessions leave nothing in the pod: no descriptor of the shim, no process, no terminal."""

import re
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cri.conftest import EVERY_KIND, OURS, Case, Home, kinds, pids_of_pods
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import Container
from tests.support.probe import probe
from tests.support.spdy import StreamingError
from tests.support.streaming import attach_session, exec_session
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]


State = tuple[Counter[str], set[int]]


def shim_descriptors(containerd: Containerd, container: Container) -> Counter[str]:
    """What the shim of a container has open, by kind or last name: it is the container's parent."""
    pid = containerd.room.host_pid(container.info()["pid"])
    found: Counter[str] = Counter()
    for path in Path(f"/proc/{psutil.Process(pid).ppid()}/fd").iterdir():
        with suppress(FileNotFoundError):
            target = str(path.readlink()).split(":[")[0]
            found[re.sub("[0-9a-f]{64}", "ID", target.rpartition("/")[2])] += 1
    return found


def settle(containerd: Containerd, home: Home) -> State:
    """The state after some execs side by side, since what the first ones make may stay."""
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(home.probe.exec, "/app", "exit", "0") for _ in range(8)]:
            assert done.result().exit_code == 0
    return shim_descriptors(containerd, home.probe), pids_of_pods(containerd)


def assert_as_before(containerd: Containerd, home: Home, before: State) -> None:
    descriptors, processes = before
    wait_for("end of every process", lambda: pids_of_pods(containerd) <= processes)

    def more() -> Counter[str]:
        found = shim_descriptors(containerd, home.probe) - descriptors
        if home.pod.handler == "runc":
            # Go's runtime keeps what it waits for processes and files with, and reuses it.
            del found["anon_inode"]
        return found

    with suppress(TimeoutError):
        wait_for("end", lambda: not more(), 5)
    assert more() == Counter()


@kinds(EVERY_KIND)
def test_two_hundred_execs(containerd: Containerd, case: Case, home: Home) -> None:
    before = settle(containerd, home)

    def run(number: int) -> int:
        return home.probe.exec("/app", *probe("say", "x"), "exit", str(number % 100)).exit_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(200))) == [number % 100 for number in range(200)]
    assert_as_before(containerd, home, before)


# Not runc's shim, which keeps the stdin of some until the container ends.
@kinds(OURS)
def test_exec_sessions_with_and_without_a_terminal(
    containerd: Containerd, case: Case, home: Home
) -> None:
    before = settle(containerd, home)
    for number in range(20):
        tty = number % 2 == 1
        with exec_session(containerd, home.probe, "/app", "echo", stdin=True, tty=tty) as session:
            session.send("one\n")
            session.read_until("got one")
            session.send("bye\n")
            assert session.wait() == 0
    assert_as_before(containerd, home, before)


@kinds(EVERY_KIND)
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
def test_a_hundred_attach_sessions(
    containerd: Containerd, case: Case, home: Home, tty: bool
) -> None:
    with case.start(home.pod, "echo", stdin=True, tty=tty) as container:
        before = settle(containerd, home)
        for number in range(50):
            with attach_session(containerd, container, stdin=True, tty=tty) as session:
                session.send(f"{number}\n")
                session.read_until(f"got {number}\n")
        assert_as_before(containerd, home, before)
        with attach_session(containerd, container, stdin=True, tty=tty) as session:
            session.send("bye\n")
            session.read_all()
        assert container.wait().exit_code == 0


@kinds(OURS)
def test_containers_that_go_while_clients_come(
    containerd: Containerd, case: Case, home: Home
) -> None:
    """Each container is removed at another moment of its clients' arrival."""
    before = settle(containerd, home)
    for number in range(8):
        container = case.start(home.pod, "sleep", "60", stdin=True)
        clients = [
            threading.Thread(target=visit, args=(containerd, container, kind))
            for kind in ("exec", "session", "terminal", "attach")
        ]
        for client in clients:
            client.start()
        time.sleep(number * 0.015)
        container.remove()
        for client in clients:
            client.join(30)
            assert not client.is_alive(), client
    assert_as_before(containerd, home, before)


def visit(containerd: Containerd, container: Container, kind: str) -> None:
    """Come by, stay until the end or a refusal."""
    with suppress(CriError, StreamingError):
        if kind == "exec":
            container.exec("/app", "sleep", "60")
        elif kind == "attach":
            with attach_session(containerd, container, stdin=True) as session:
                session.read_all()
        else:
            tty = kind == "terminal"
            with exec_session(
                containerd, container, "/app", "echo", stdin=True, tty=tty
            ) as session:
                session.read_all()
