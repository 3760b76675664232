"""systemd, over D-Bus: no systemctl, no nsenter, no chroot.

Rules: systemd's own socket first, which is there without a bus; else the system bus. Both ask who
calls by the socket's credentials: user 0 of the node. Interface: org.freedesktop.systemd1(5).
"""

import itertools
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jeepney import (
    DBusAddress,
    HeaderFields,
    Message,
    MessageType,
    Parser,
    message_bus,
    new_method_call,
)

from runtimeclass.installer.errors import HostError
from runtimeclass.installer.host import Host

PRIVATE = "/run/systemd/private"
BUS = "/run/dbus/system_bus_socket"
_RUNNING = "/run/systemd/system"  # sd_booted(3)
_NAME = "org.freedesktop.systemd1"
_MANAGER = DBusAddress("/org/freedesktop/systemd1", _NAME, f"{_NAME}.Manager")
_PROPERTIES = "org.freedesktop.DBus.Properties"
_TIMEOUT_S = 30.0
_POLL_S = 0.1


def has_systemd(host: Host) -> bool:
    """Whether systemd runs the node, and one of its sockets is to be seen."""
    sockets = host.is_socket(PRIVATE) or host.is_socket(BUS)
    return sockets and (host.is_directory(_RUNNING) or host.is_socket(PRIVATE))


class Systemd:
    """A connection to the node's systemd, to be used in a with statement."""

    def __init__(self, host: Host) -> None:
        """Connect.

        Raises:
            HostError: neither socket takes us.
        """
        self._connection = _connect(host.path(PRIVATE), host.path(BUS))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def reload(self) -> None:
        """Have unit files read anew.

        Raises:
            HostError: systemd refuses.
        """
        self._call("Reload")

    def restart(self, unit: str) -> None:
        """Restart a unit, or start it; returns when the job is queued.

        Raises:
            HostError: systemd refuses.
        """
        # Else a unit that has failed too often is not started any more.
        self._call("ResetFailedUnit", "s", unit, missing_ok=True)
        self._call("RestartUnit", "ss", unit, "replace")

    def stop(self, unit: str) -> None:
        """Stop a unit, if there is one, and wait for its end.

        Raises:
            HostError: it does not end.
        """
        self._call("StopUnit", "ss", unit, "replace", missing_ok=True)
        if not self._wait(unit, lambda state: state in {"inactive", "failed", ""}):
            raise HostError(f"{unit} does not stop: see systemctl status {unit}")
        self._call("ResetFailedUnit", "s", unit, missing_ok=True)

    def main_pid(self, unit: str) -> int:
        """The node's pid of a service's process; 0 where none runs."""
        found = self._property(unit, "Service", "MainPID")
        return found if isinstance(found, int) else 0

    def end_process(self, pid: int) -> None:
        """Send SIGTERM to a process of the node's, which a container cannot do by itself.

        The process becomes the only one of a transient scope, which systemd then signals.

        Raises:
            HostError: systemd refuses: it does not run any more, say.
        """
        scope = f"tandem-end-{pid}.scope"
        properties = [("PIDs", ("au", [pid]))]
        self._call("StartTransientUnit", "ssa(sv)a(sa(sv))", scope, "replace", properties, [])
        # Its start is only queued; there is nothing in it to be signalled before.
        self._wait(scope, lambda state: state in {"active", ""})
        self._call("KillUnit", "ssi", scope, "all", int(signal.SIGTERM), missing_ok=True)

    def state(self, unit: str) -> str:
        """The unit's ActiveState; empty where there is no such unit."""
        return str(self._property(unit, "Unit", "ActiveState") or "")

    def _property(self, unit: str, kind: str, name: str) -> object:
        """None where there is no such unit."""
        body = self._call("GetUnit", "s", unit, missing_ok=True)
        if not body:
            return None
        properties = DBusAddress(body[0], _NAME, _PROPERTIES)
        asked = (f"{_NAME}.{kind}", name)
        found = self._call("Get", "ss", *asked, address=properties, missing_ok=True)
        value: object = found[0][1] if found else None
        return value

    def _wait(self, unit: str, wanted: Callable[[str], bool]) -> bool:
        deadline = time.monotonic() + _TIMEOUT_S
        while not wanted(self.state(unit)):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _call(
        self,
        method: str,
        signature: str | None = None,
        *body: object,
        address: DBusAddress = _MANAGER,
        missing_ok: bool = False,
    ) -> tuple[Any, ...]:
        message = new_method_call(address, method, signature, body)
        try:
            answer = self._connection.ask(message)
        except OSError as error:
            raise HostError(f"systemd does not answer {method} {body}: {error}") from error
        if answer.header.message_type is MessageType.error:
            if missing_ok:
                return ()
            reason = answer.body[0] if answer.body else "no reason given"
            raise HostError(f"systemd refuses {method} {body}: {reason}")
        return tuple(answer.body)


class _Connection:
    """A socket on which D-Bus is spoken. jeepney's own greets a bus, which systemd's is not.

    What authenticates is sent in one piece: systemd 252 forgets a message that it reads together
    with the BEGIN before it, until the next one comes.
    """

    def __init__(self, path: Path) -> None:
        self._serials = itertools.count(1)
        self._parser = Parser()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_TIMEOUT_S)
        try:
            self._authenticate(path)
        except BaseException:
            self._socket.close()
            raise

    def _authenticate(self, path: Path) -> None:
        self._socket.connect(str(path))
        user = str(os.geteuid()).encode().hex()
        self._socket.sendall(f"\0AUTH EXTERNAL {user}\r\nBEGIN\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n"):
            byte = self._socket.recv(1)
            if not byte:
                raise ConnectionResetError("the connection was closed")
            answer += byte
        if not answer.startswith(b"OK "):
            raise PermissionError(answer.decode(errors="replace").strip())

    def ask(self, message: Message) -> Message:
        """Send a call, and return its answer; signals are passed over.

        Raises:
            OSError: the connection is lost, or no answer comes within 30 s of the last message.
        """
        serial = next(self._serials)
        self._socket.sendall(message.serialise(serial=serial))
        while True:
            answer = self._parser.get_next_message()
            if answer is None:
                data = self._socket.recv(1 << 16)
                if not data:
                    raise ConnectionResetError("the connection was closed")
                self._parser.add_data(data)
            elif answer.header.fields.get(HeaderFields.reply_serial) == serial:
                return answer

    def close(self) -> None:
        self._socket.close()


def _connect(private: Path, bus: Path) -> _Connection:
    try:
        return _Connection(private)
    except (OSError, ValueError) as error:
        reason = str(error)
    try:
        connection = _Connection(bus)
        connection.ask(message_bus.Hello())
    except (OSError, ValueError) as error:
        raise HostError(
            f"systemd cannot be asked: {private}: {reason}; {bus}: {error}; mount one of them, or"
            " say how to restart containerd (--restart, --restart-command)"
        ) from error
    return connection
