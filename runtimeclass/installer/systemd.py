"""systemd, over D-Bus: no systemctl, no nsenter, no chroot.

Rules: systemd's own socket first, which is there without a bus; else the system bus. Both ask who
calls by the socket's credentials: user 0 of the node. Interface: org.freedesktop.systemd1(5).
"""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import DBusConnection, open_dbus_connection, prep_socket

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

    def wait_active(self, unit: str, or_else: Callable[[], bool]) -> None:
        """Wait until a unit is active, or something else that does for it is true.

        Raises:
            HostError: neither is within 30 s.
        """
        if not self._wait(unit, lambda state: state == "active" or or_else()):
            state = self.state(unit) or "not there"
            raise HostError(f"{unit} is {state}: see systemctl status {unit}, journalctl -u {unit}")

    def state(self, unit: str) -> str:
        """The unit's ActiveState; empty where there is no such unit."""
        body = self._call("GetUnit", "s", unit, missing_ok=True)
        if not body:
            return ""
        properties = DBusAddress(body[0], _NAME, _PROPERTIES)
        asked = (f"{_NAME}.Unit", "ActiveState")
        found = self._call("Get", "ss", *asked, address=properties, missing_ok=True)
        return str(found[0][1]) if found else ""

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
        *body: str,
        address: DBusAddress = _MANAGER,
        missing_ok: bool = False,
    ) -> tuple[Any, ...]:
        message = new_method_call(address, method, signature, body)
        try:
            answer = self._connection.send_and_get_reply(message, timeout=_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            raise HostError(
                f"systemd does not answer {method} {' '.join(body)}: {error}"
            ) from error
        if answer.header.message_type is MessageType.error:
            if missing_ok:
                return ()
            reason = answer.body[0] if answer.body else "no reason given"
            raise HostError(f"systemd refuses {method} {' '.join(body)}: {reason}")
        return tuple(answer.body)


def _connect(private: Path, bus: Path) -> DBusConnection:
    try:
        return DBusConnection(prep_socket(str(private)))
    except (OSError, TimeoutError, ValueError) as error:
        reason = str(error)
    try:
        return open_dbus_connection(f"unix:path={bus}")
    except (OSError, TimeoutError, ValueError) as error:
        raise HostError(
            f"systemd cannot be asked: {private}: {reason}; {bus}: {error}; mount one of them, or"
            " say how to restart containerd (--restart, --restart-command)"
        ) from error
