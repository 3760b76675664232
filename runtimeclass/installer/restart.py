"""Restarting containerd by the node's own means, and waiting for what it then says.

Rules: whether a restart is needed is told by the running containerd alone (CRI's rendered
configuration), so that an installer that was killed before the restart makes it the next time.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from runtimeclass.installer.cri import Cri
from runtimeclass.installer.errors import NodeError, RestartError
from runtimeclass.installer.host import Host
from runtimeclass.installer.layouts import Place, running_pid
from runtimeclass.installer.options import Options
from runtimeclass.installer.systemd import Systemd, has_systemd
from runtimeclass.installer.toml_edit import HANDLER

_COMMAND_S = 120.0
_POLL_S = 0.2
Entry = Mapping[str, Any] | None


class Restarter:
    """How this node's containerd is restarted."""

    def __init__(
        self, host: Host, place: Place, options: Options, poll: Callable[[], None]
    ) -> None:
        """`poll` is called while something is waited for, and may raise."""
        self._host = host
        self._place = place
        self._options = options
        self._poll = poll

    def check(self) -> str:
        """How it will be done, in words.

        Raises:
            NodeError: there is no way.
        """
        if self._options.restart_command:
            return f"by `{shlex.join(self._options.restart_command)}`"
        if self._options.restart == "signal":
            return f"by SIGTERM to process {self._pid()}"
        if not has_systemd(self._host):
            raise NodeError(
                "no systemd runs here that could restart containerd: say how (--restart signal, if"
                " whoever started it starts it anew, or --restart-command)"
            )
        with Systemd(self._host) as systemd:
            return f"by restarting {self._unit(systemd)}"

    def restart(self) -> None:
        """Do it; does not wait for containerd to be back.

        Raises:
            RestartError: the command fails, or takes too long.
            HostError: systemd refuses.
            NodeError: there is no way.
        """
        if self._options.restart_command:
            self._run(self._options.restart_command)
        elif self._options.restart == "signal":
            # One that has ended by itself is being started anew already.
            if pid := running_pid(self._host, self._place):
                os.kill(pid, signal.SIGTERM)
        else:
            with Systemd(self._host) as systemd:
                systemd.restart(self._unit(systemd))

    def wait(self, cri: Cri, wanted: Callable[[Entry], bool], timeout_s: float) -> bool:
        """Wait until CRI answers, and has the handler that is wanted; whether it did in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if wanted(cri.runtimes().get(HANDLER)):
                    return True
            except NodeError:
                pass  # not back yet
            if time.monotonic() > deadline:
                return False
            self._poll()
            time.sleep(_POLL_S)

    def _unit(self, systemd: Systemd) -> str:
        services = self._place.layout.services
        states = {service: systemd.state(service) for service in services}
        for service, state in states.items():
            if state in {"active", "activating", "reloading"}:
                return service
        # After a restart that went wrong.
        for service, state in states.items():
            if state == "failed":
                return service
        raise NodeError(
            f"none of {', '.join(services)} is active: say how to restart containerd"
            " (--restart-command)"
        )

    def _pid(self) -> int:
        pid = running_pid(self._host, self._place)
        if not pid:
            raise NodeError("containerd's process is not to be seen: mount /proc, set hostPID")
        return pid

    def _run(self, command: tuple[str, ...]) -> None:
        name = shlex.join(command)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RestartError(f"`{name}` cannot restart containerd: {error}") from error
        if done.returncode:
            reason = (done.stderr or done.stdout).strip()[-500:]
            raise RestartError(f"`{name}` ended with {done.returncode}: {reason}")
