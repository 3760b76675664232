"""What the stages share: the node, its containerd, the journal and the lock.

Rules: nothing is made on the node before `State` is opened, which `check` and `verify` never do.
"""

import fcntl
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from runtimeclass.installer.bundle import STATE, TOP
from runtimeclass.installer.changes import Changes
from runtimeclass.installer.cri import Cri, has_systemd_cgroups
from runtimeclass.installer.errors import BusyError
from runtimeclass.installer.files import Files, told
from runtimeclass.installer.host import Host
from runtimeclass.installer.journal import Change, Journal
from runtimeclass.installer.layouts import Place, find_place, link_directory
from runtimeclass.installer.options import Options
from runtimeclass.installer.restart import Restarter
from runtimeclass.installer.steps import Stop
from runtimeclass.installer.toml_edit import Handler

SHIM_PATH = f"{TOP}/current/bin/containerd-shim-tandem-v1"
HANDLER_CONFIG = "/etc/tandem/handler.toml"
# Since when containerd hands a runtime's options on, whatever their names.
_OPTIONS_SINCE = (1, 7)


@dataclass(slots=True)
class Node:
    """A node with a containerd that answers."""

    options: Options
    host: Host
    files: Files
    place: Place
    cri: Cri
    stop: Stop
    env: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, options: Options, files: Files, stop: Stop, env: Mapping[str, str]) -> Self:
        """The node below --root.

        Raises:
            NodeError: no containerd runs there, or more than one.
        """
        host = Host(options.root)
        place = find_place(host, options)
        return cls(options, host, files, place, Cri(host.path(place.socket)), stop, env)

    def restarter(self, poll: Callable[[], None]) -> Restarter:
        """How its containerd is restarted."""
        return Restarter(self.host, self.place, self.options, poll)

    def handler(self) -> Handler:
        """What this containerd has to be told.

        Raises:
            NodeError: it does not answer.
        """
        path = "" if link_directory(self.host, self.place) else SHIM_PATH
        if not has_systemd_cgroups(self.cri.runtimes()):
            return Handler(path)
        if self.cri.version() >= _OPTIONS_SINCE:
            return Handler(path, {"SystemdCgroup": True})
        options = {"TypeUrl": "runtimeoptions.v1.Options", "ConfigPath": HANDLER_CONFIG}
        return Handler(path, options)


class State:
    """The installer's own directory on the node, locked; to be used in a with statement."""

    def __init__(self, host: Host, files: Files) -> None:
        """Make it, take the lock, read the journal.

        Raises:
            BusyError: another installer has the lock.
            HostError: it cannot be made, or its journal cannot be read.
        """
        self._host = host
        self._files = files
        made = self._make()
        with told("lock", host.path(STATE)):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._lock = os.open(host.path(f"{STATE}/lock"), flags, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
                raise BusyError(f"another installer is at work: it holds {STATE}/lock") from None
        self.journal = Journal(files, host.path(STATE))
        self.changes = Changes(host, files, self.journal)
        for directory in made:
            self.journal.record(Change(directory, "directory", "state"), None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._lock)

    def remove(self) -> list[str]:
        """Remove it, the last of Tandem's on the node; remarks for the reader."""
        made = [each.path for each in self.journal.changes.values() if each.step == "state"]
        self._files.empty(self._host.path(STATE))
        return [
            f"{directory} stays: it is not empty, or a mount"
            for directory in (STATE, TOP, *reversed(made))
            if not self._files.remove_directory(self._host.path(directory))
        ]

    def _make(self) -> list[str]:
        """The directories that were not there above the state's own, made now."""
        made = []
        parts = STATE.split("/")
        for end in range(2, len(parts) + 1):
            directory = "/".join(parts[:end])
            if not self._host.exists(directory):
                private = directory == STATE
                self._files.make_directory(self._host.path(directory), 0o700 if private else 0o755)
                if directory not in {STATE, TOP}:
                    made.append(directory)
        return made
