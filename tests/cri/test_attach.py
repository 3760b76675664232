"""Attach: clients that join a container's streams, leave and come back, and its log meanwhile."""

from typing import Any

import pytest

from tests.cri.conftest import EVERY_KIND, LINUX, WASM, Case, Home, kinds
from tests.support import images
from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec
from tests.support.probe import probe
from tests.support.streaming import attach_session
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@kinds(EVERY_KIND)
def test_client_talks_leaves_and_comes_back(containerd: Containerd, case: Case, home: Home) -> None:
    with case.start(home.pod, *probe("echo"), "exit", "3", stdin=True) as container:
        for words in (("one", "two"), ("three",)):
            with attach_session(containerd, container, stdin=True) as session:
                for word in words:
                    session.send(f"{word}\n")
                    session.read_until(f"got {word}\n")
            assert container.is_running()
        with attach_session(containerd, container, stdin=True) as session:
            session.send("bye\n")
            session.read_all()
        assert container.wait().exit_code == 3
        assert container.stdout.splitlines() == ["got one", "got two", "got three"]


@kinds(EVERY_KIND)
def test_end_of_stdin_once_is_told(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("stdin"), *probe("say", "end"), *home.last_words(), "exit", "4"]
    with case.start(
        home.pod, *words, stdin=True, stdin_once=True, volumes=home.volumes
    ) as container:
        with attach_session(containerd, container, stdin=True) as session:
            session.send("all of it\n")
            session.end_stdin()
            session.read_until("end\n")
            container.wait_for_log("end")
            home.let_go()
            session.read_all()
            assert session.stdout == "all of it\nend\n"
        assert container.wait().exit_code == 4
        assert container.stdout == "all of it\nend"


@kinds(EVERY_KIND)
def test_client_that_leaves_ends_stdin_once(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("echo"), *probe("say", "end"), *home.last_words()]
    with case.start(
        home.pod, *words, stdin=True, stdin_once=True, volumes=home.volumes
    ) as container:
        with attach_session(containerd, container, stdin=True) as session:
            session.send("one\n")
            session.read_until("got one\n")
        container.wait_for_log("end")
        home.let_go()
        assert container.wait().exit_code == 0
        assert container.stdout == "got one\nend"


@kinds(EVERY_KIND)
def test_without_stdin_a_container_reads_nothing(
    containerd: Containerd, case: Case, home: Home
) -> None:
    words = [*probe("stdin"), *probe("say", "end"), *home.last_words()]
    with case.start(home.pod, *words, volumes=home.volumes) as container:
        container.wait_for_log("end")
        home.let_go()
        assert container.wait().exit_code == 0
        assert container.stdout == "end"


@kinds(EVERY_KIND)
def test_two_clients_see_the_same(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("echo"), *probe("err", "problem"), *home.last_words()]
    with (
        case.start(home.pod, *words, stdin=True, volumes=home.volumes) as container,
        attach_session(containerd, container, stdin=True) as one,
        attach_session(containerd, container) as two,
    ):

        def both_hear() -> bool:
            one.send("word\n")
            for session in (one, two):
                session.read_some()
            return all("got word\n" in session.stdout for session in (one, two))

        # An attach is in place some time after its connection is.
        wait_for("a line that both clients see", both_hear, pause=0.1)
        one.send("bye\n")
        container.wait_for_log("problem")
        home.let_go()
        for session in (one, two):
            session.read_all()
            assert session.stdout.endswith("got word\n")
            assert session.stderr == "problem\n"


@kinds(EVERY_KIND)
def test_log_is_complete_while_clients_come_and_go(
    containerd: Containerd, case: Case, home: Home
) -> None:
    words = [*probe("lines", "20000"), *probe("say", "end"), *home.last_words()]
    with case.start(home.pod, *probe("echo"), *words, stdin=True, volumes=home.volumes) as lively:
        with attach_session(containerd, lively, stdin=True) as session:
            session.send("bye\n")
            session.read_until("line 99\n")
        with attach_session(containerd, lively):
            lively.wait_for_log("end")
            home.let_go()
        assert lively.wait().exit_code == 0
        assert lively.stdout.splitlines() == [*(f"line {n}" for n in range(20000)), "end"]


@kinds(EVERY_KIND)
def test_terminal_of_a_container(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("echo"), *probe("tty"), *probe("err", "problem")]
    words += [*home.last_words(), "exit", "5"]
    more: dict[str, Any] = {"stdin": True, "tty": True, "volumes": home.volumes}
    with case.start(home.pod, *words, **more) as container:
        for word in ("one", "two"):
            with attach_session(containerd, container, stdin=True, tty=True) as session:
                session.resize(120, 40)
                session.send(f"{word}\n")
                session.read_until(f"{word}\ngot {word}\n")
            assert container.is_running()
        with attach_session(containerd, container, stdin=True, tty=True) as session:
            session.send("bye\n")
            container.wait_for_log("problem")
            home.let_go()
            session.read_all()
            assert session.stdout.endswith("bye\nyes yes yes\nproblem\n")
        assert container.wait().exit_code == 5
        lines = [line.text.rstrip("\r") for line in container.log()]
        assert lines == ["one", "got one", "two", "got two", "bye", "yes yes yes", "problem"]


@kinds(LINUX)
def test_shell_as_a_container(containerd: Containerd, case: Case, home: Home) -> None:
    spec = ContainerSpec("shell", images.BUSYBOX, ["sh"], stdin=True, tty=True)
    with home.pod.start(spec) as container:
        with attach_session(containerd, container, stdin=True, tty=True) as session:
            session.resize(132, 43)
            session.send("until stty size | grep '43 132'; do sleep 0.05; done\n")
            session.read_until("^43 132\n")
            session.send("sleep 60\n")
            wait_for("the command", lambda: "sleep 60" in container.exec("ps").stdout)
            session.send("\x03")
            session.send("echo $?; exit 9\n")
            session.read_until("^130\n")
            session.read_all()
        assert container.wait().exit_code == 9


@kinds([WASM])
def test_ctrl_c_ends_a_guest(containerd: Containerd, case: Case, home: Home) -> None:
    words = [*probe("say", "busy"), "spin"]
    with case.start(home.pod, *words, stdin=True, tty=True) as container:
        container.wait_for_log("busy")
        with attach_session(containerd, container, stdin=True, tty=True) as session:
            session.send("\x03")
            assert container.wait().exit_code == 130
