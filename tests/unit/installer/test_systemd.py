"""systemd's answers, good and bad, from a stand-in on a socket that speaks D-Bus as it does."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney import (
    HeaderFields,
    Message,
    Parser,
    new_error,
    new_method_return,
    new_signal,
)

from runtimeclass.installer import systemd, unit
from runtimeclass.installer.errors import (
    HostError,
    InstallerError,
    NodeError,
    RestartError,
    RollbackError,
)
from runtimeclass.installer.host import Host
from runtimeclass.installer.systemd import BUS, PRIVATE, Systemd
from tests.unit.installer.fake import FakeNode, make_node

CONTAINERD = "containerd.service"
TANDEMD = unit.UNIT
_ERRORS = "org.freedesktop.systemd1."
NO_SUCH_UNIT = f"{_ERRORS}NoSuchUnit"
_UNITS = "/org/freedesktop/systemd1/unit/"


class Manager:
    """systemd: `units` by ActiveState; `refusals` by call (a method, or it and its unit);
    `silent` are calls without an answer. `once`: each of these only the first time."""

    def __init__(self, path: Path) -> None:
        self.units = {CONTAINERD: "active"}
        self.refusals: dict[str, tuple[str, str]] = {}
        self.silent: set[str] = set()
        self.once = False
        self.greeting = b"OK 0123456789abcdef0123456789abcdef\r\n"
        self.asked: list[tuple[str, ...]] = []
        self.restarted: Callable[[str], None] = lambda name: None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def methods(self, name: str) -> list[str]:
        """What was asked about a unit."""
        return [method for method, *body in self.asked if name in body and method != "GetUnit"]

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        greeted = b""
        while not greeted.endswith(b"BEGIN\r\n"):
            greeted += connection.recv(1)
        assert greeted.startswith(b"\0AUTH EXTERNAL ")
        connection.sendall(self.greeting)
        parser = Parser()
        while data := connection.recv(1 << 16):
            parser.add_data(data)
            while (message := parser.get_next_message()) is not None:
                # What nobody has asked for comes in between, as JobRemoved does.
                changed = new_signal(systemd._MANAGER, "UnitNew", "so", ("x", "/"))
                connection.sendall(changed.serialise(serial=1))
                if answer := self._answer(message):
                    connection.sendall(answer.serialise(serial=2))

    def _answer(self, message: Message) -> Message | None:
        method = message.header.fields[HeaderFields.member]
        self.asked.append((method, *map(str, message.body)))
        for call in (method, " ".join((method, *map(str, message.body[:1])))):
            if call in self.silent:
                self.silent -= {call} if self.once else set()
                return None
            if call in self.refusals:
                name, text = self.refusals[call]
                if self.once:
                    del self.refusals[call]
                return new_error(message, _ERRORS + name, "s", (text,))
        return self._obey(method, message)

    def _obey(self, method: str, message: Message) -> Message:
        match method:
            case "GetUnit" | "RestartUnit" | "StopUnit" | "ResetFailedUnit":
                name = message.body[0]
                if name not in self.units:
                    return new_error(message, NO_SUCH_UNIT, "s", (f"Unit {name} not found.",))
                if method == "RestartUnit":
                    self.restarted(name)
                if method == "StopUnit" and self.units[name] == "active":
                    self.units[name] = "inactive"
                if method == "GetUnit":
                    return new_method_return(message, "o", (_UNITS + name.replace(".", "_2e"),))
            case "Get":
                path = message.header.fields[HeaderFields.path].removeprefix(_UNITS)
                value: tuple[str, Any] = ("s", self.units[path.replace("_2e", ".")])
                if message.body[1] == "MainPID":
                    value = ("u", 0)
                return new_method_return(message, "v", (value,))
            case _:
                pass
        return new_method_return(message)


@pytest.fixture
def host(short_path: Path) -> Host:
    (short_path / "run/systemd/system").mkdir(parents=True)
    return Host(short_path)


@pytest.fixture
def manager(host: Host) -> Iterator[Manager]:
    made = Manager(host.path(PRIVATE))
    yield made
    made.close()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing waited for."""
    monkeypatch.setattr(systemd, "_TIMEOUT_S", 0.3)
    monkeypatch.setattr(unit, "_START_S", 0.3)


def test_restart_resets_failures_first(host: Host, manager: Manager) -> None:
    with Systemd(host) as it:
        it.restart(CONTAINERD)
        assert it.state(CONTAINERD) == "active"
        assert it.main_pid(CONTAINERD) == 0
    assert manager.methods(CONTAINERD) == ["ResetFailedUnit", "RestartUnit"]


def test_unit_that_is_missing(host: Host, manager: Manager) -> None:
    with Systemd(host) as it:
        assert it.state("none.service") == ""
        assert it.main_pid("none.service") == 0
        it.stop("none.service")
        with pytest.raises(HostError, match=r"systemd refuses RestartUnit .*none.service not fo"):
            it.restart("none.service")
    assert manager.methods("none.service").count("StopUnit") == 1


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("Reload", lambda it: it.reload()),
        ("RestartUnit", lambda it: it.restart(CONTAINERD)),
        ("StartTransientUnit", lambda it: it.end_process(1)),
    ],
)
def test_refusal_is_told_with_its_reason(
    host: Host, manager: Manager, method: str, call: Callable[[Systemd], None]
) -> None:
    manager.refusals[method] = ("AccessDenied", "Interactive authentication required.")
    with Systemd(host) as it, pytest.raises(HostError) as told:
        call(it)
    assert f"systemd refuses {method} " in str(told.value)
    assert "Interactive authentication required." in str(told.value)


@pytest.mark.usefixtures("soon")
def test_no_answer_in_time(host: Host, manager: Manager) -> None:
    manager.silent.add("Reload")
    with (
        Systemd(host) as it,
        pytest.raises(HostError, match=r"systemd does not answer Reload .*: timed out"),
    ):
        it.reload()


@pytest.mark.usefixtures("soon")
def test_unit_that_does_not_stop(host: Host, manager: Manager) -> None:
    manager.units[TANDEMD] = "deactivating"
    with Systemd(host) as it, pytest.raises(HostError, match=f"{TANDEMD} does not stop"):
        it.stop(TANDEMD)


def test_caller_that_is_not_taken(host: Host, manager: Manager) -> None:
    manager.greeting = b"REJECTED EXTERNAL\r\n"
    with pytest.raises(HostError) as told:
        Systemd(host)
    assert "REJECTED EXTERNAL" in str(told.value)
    assert "--restart-command" in str(told.value)


def test_bus_is_used_where_systemds_own_socket_is_not(host: Host) -> None:
    bus = Manager(host.path(BUS))
    try:
        with Systemd(host) as it:
            it.reload()
    finally:
        bus.close()
    assert [method for method, *_ in bus.asked] == ["Hello", "Reload"]


@pytest.fixture
def node(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """One whose containerd and tandemd are systemd's."""
    short_path.mkdir()
    made = make_node(short_path, monkeypatch)
    made.path("/run/systemd/system").mkdir(parents=True)
    monkeypatch.setattr(unit, "_is_served", lambda host, systemd: True)
    return made


@pytest.fixture
def asked(node: FakeNode) -> Iterator[Manager]:
    """That systemd."""
    made = Manager(node.path(PRIVATE))
    made.units[TANDEMD] = "active"
    made.restarted = lambda name: node.start() if name == CONTAINERD else None
    yield made
    made.close()


def fails(node: FakeNode, kind: type[InstallerError], *texts: str) -> None:
    """Assert that `install` does, and that the node is then as it was, and works."""
    before = node.tree()
    with pytest.raises(InstallerError) as told:
        node.call("install", "1", restart_command=())
    assert type(told.value) is kind
    assert [text for text in texts if text not in str(told.value)] == []
    assert node.tree() == before
    assert node.answers
    assert "tandem" not in node.running


def test_install_and_uninstall_restart_by_systemd(node: FakeNode, asked: Manager) -> None:
    before = node.tree()
    node.call("install", "1", restart_command=())
    assert asked.methods(CONTAINERD) == ["ResetFailedUnit", "RestartUnit"]
    assert asked.methods(TANDEMD) == ["ResetFailedUnit", "RestartUnit"]
    node.call("uninstall", restart_command=())
    assert node.tree() == before
    assert "StopUnit" in asked.methods(TANDEMD)


def test_restart_of_containerd_that_fails(node: FakeNode, asked: Manager) -> None:
    node.refuses = "tandem"
    fails(node, RestartError, "does not offer the handler tandem", "containerd.service")
    assert asked.methods(CONTAINERD).count("RestartUnit") == 2


def test_restart_of_containerd_that_is_refused(node: FakeNode, asked: Manager) -> None:
    asked.refusals[f"RestartUnit {CONTAINERD}"] = ("TransactionIsDestructive", "is shutting down")
    fails(node, HostError, "systemd refuses RestartUnit", CONTAINERD, "is shutting down")
    assert node.restarts == 0


def test_containerd_without_a_unit(node: FakeNode, asked: Manager) -> None:
    del asked.units[CONTAINERD]
    fails(node, NodeError, "none of containerd.service", "is active", "--restart-command")
    assert node.restarts == 0


def test_reload_that_is_refused_once(node: FakeNode, asked: Manager) -> None:
    asked.refusals["Reload"] = ("RateLimited", "too many reloads")
    asked.once = True
    fails(node, HostError, "systemd refuses Reload", "too many reloads")


@pytest.mark.usefixtures("soon")
def test_reload_that_is_not_answered_once(node: FakeNode, asked: Manager) -> None:
    asked.silent.add("Reload")
    asked.once = True
    fails(node, HostError, "systemd does not answer Reload", "timed out")


def test_reload_that_is_refused_for_good_is_for_a_person(node: FakeNode, asked: Manager) -> None:
    before = node.tree()
    asked.refusals["Reload"] = ("AccessDenied", "not allowed")
    with pytest.raises(RollbackError, match=r"not allowed; and then the step unit could not be"):
        node.call("install", "1", restart_command=())
    assert not node.path("/etc/systemd/system/tandemd.service").exists()
    asked.refusals.clear()
    node.call("uninstall", restart_command=())
    assert node.tree() == before


@pytest.mark.usefixtures("soon")
def test_tandemd_that_does_not_start(
    node: FakeNode, asked: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "_is_served", lambda host, systemd: False)
    asked.units[TANDEMD] = "failed"
    fails(node, HostError, "tandemd.service is failed, and does not serve", "journalctl -u")
    assert node.restarts == 0
