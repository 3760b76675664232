"""containerd ends and comes back while pods run: they run on, nothing is lost, exits are told."""

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cri.conftest import Stack, import_test_images, pids_of_pods
from tests.support import images, probe
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod, Volume
from tests.support.probe import probe as do
from tests.support.spdy import StreamingError
from tests.support.streaming import Session, attach_session, exec_session
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd, pytest.mark.slow]

LINES = 500


@pytest.fixture
def containerd(stack: Stack) -> Iterator[Containerd]:
    """A containerd for each test: it ends it."""
    with stack.containerd() as started:
        import_test_images(started)
        yield started


def start_pairs(pod: Pod, shared: Path, handler: str) -> tuple[list[Container], list[Container]]:
    """Containers that stay, and others that leave once /shared/go is there.

    A pair of each kind with pipes, and one with a terminal.
    """
    kinds = [probe.LINUX] if handler == "runc" else [probe.LINUX, probe.WASM]
    kinds += kinds
    work = [*do("say", "one"), *do("until", "/shared/go"), *do("lines", str(LINES))]
    volumes = [Volume(shared, "/shared")]
    staying, leaving = [], []
    for number, kind in enumerate(kinds):
        stays = [*work, *do("say", "two"), *do("echo"), "exit", "6"]
        more: dict[str, Any] = {"volumes": volumes, "tty": number >= len(kinds) // 2}
        spec = ContainerSpec(f"stays-{number}", kind, args=stays, stdin=True, **more)
        staying.append(pod.start(spec))
        spec = ContainerSpec(f"leaves-{number}", kind, args=[*work, "exit", "9"], **more)
        leaving.append(pod.start(spec))
    for container in (*staying, *leaving):
        container.wait_for_log("one")
    return staying, leaving


def open_sessions(containerd: Containerd, containers: Sequence[Container]) -> list[Session]:
    """An attach, an exec and an exec with a terminal for each."""
    sessions = []
    for container in containers:
        sessions.append(attach_session(containerd, container, stdin=True, tty=container.spec.tty))
        for tty in (False, True):
            command = ["/app", *do("say", "here"), "until", "/shared/go"]
            session = exec_session(containerd, container, *command, stdin=True, tty=tty)
            session.read_until("here")
            sessions.append(session)
    return sessions


@pytest.mark.parametrize("handler", ["runc", "tandem", "tandem-crun"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_pod_outlives_containerd(containerd: Containerd, handler: str, how: int) -> None:
    with containerd.pod("outlives", handler) as pod:
        shared = pod.volume("shared")
        address = pod.ip
        staying, leaving = start_pairs(pod, shared, handler)
        started = [container.status().started_at for container in staying]
        processes = pids_of_pods(containerd)
        gone = [containerd.room.host_pid(container.info()["pid"]) for container in leaving]
        sessions = open_sessions(containerd, staying)

        containerd.end_service(how)
        for session in sessions:
            with pytest.raises(StreamingError):
                session.wait()
            session.close()
        (shared / "go").touch()
        wait_for("exits meanwhile", lambda: not any(psutil.pid_exists(pid) for pid in gone))
        containerd.start_service()

        for container in leaving:
            # What it wrote last is lost: containerd does not read the output of the dead. From 1.7
            # on it also takes a shim that tells of no process, as runc's does, for one never used.
            assert container.wait().exit_code in ([9, 255] if handler == "runc" else [9])
        assert [container.status().started_at for container in staying] == started
        for container in staying:
            container.wait_for_log("two")
            lines = [f"line {number}" for number in range(LINES)]
            assert [text.rstrip("\r") for text in container.stdout.split("\n")] == [
                "one",
                *lines,
                "two",
            ]
        wait_for("end of the execs", lambda: pids_of_pods(containerd) <= processes)

        expect_more(containerd, pod, staying)
        assert pod.ip == address


def expect_more(containerd: Containerd, pod: Pod, staying: Sequence[Container]) -> None:
    """Everything works as if nothing had happened."""
    for container in staying:
        assert container.exec("/app", "exit", "4").exit_code == 4
        tty = container.spec.tty
        with attach_session(containerd, container, stdin=True, tty=tty) as session:
            session.send("hello\n")
            session.read_until("got hello\n")
            session.send("bye\n")
            assert container.wait().exit_code == 6
        spec = ContainerSpec("later", container.spec.image, args=["exit", "5"])
        assert pod.start(spec).wait().exit_code == 5
    serve = ["sh", "-c", "echo new >/tmp/index.html && exec httpd -f -p 8080 -h /tmp"]
    server = pod.start(ContainerSpec("server", images.BUSYBOX, serve))
    server.exec("sh", "-c", "until wget -qO- localhost:8080; do sleep 0.1; done")
    assert containerd.http_get(f"http://{pod.ip}:8080/").body == b"new\n"
    assert server.stop(grace=0).exit_code == 137
