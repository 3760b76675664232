"""Where a node daemon and its pod shims keep what lives as long as the node is up.

Everything hangs below the directory of the daemon's socket (`/run/tandem` unless TANDEM_SOCKET,
which containerd's environment hands down, says otherwise), so that several containerds can each
have a daemon of their own. Rules: stdlib only; every path is absolute.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shim.errdefs import InvalidArgumentError

DEFAULT_SOCKET = "/run/tandem/tandemd.sock"
SOCKET_VARIABLE = "TANDEM_SOCKET"

# Appended to a task socket's name: where the pod's gateway, if it has one, speaks gRPC.
_GATEWAY_SUFFIX = ".grpc"
# sun_path holds 107 bytes and a NUL (unix(7)).
MAX_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class RunDir:
    """The run directory of one node daemon."""

    socket: Path

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "RunDir":
        """The run directory that this environment names.

        Raises:
            InvalidArgumentError: the socket's path is relative or too long.
        """
        path = Path(env.get(SOCKET_VARIABLE) or DEFAULT_SOCKET)
        if not path.is_absolute() or len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
            raise InvalidArgumentError(
                f"{SOCKET_VARIABLE}={path} must be an absolute path of at most"
                f" {MAX_SOCKET_PATH_BYTES} bytes"
            )
        return cls(path)

    @property
    def directory(self) -> Path:
        """The directory itself."""
        return self.socket.parent

    @property
    def daemon_lock(self) -> Path:
        """Held (flock) by the daemon for life."""
        return self.directory / "tandemd.lock"

    @property
    def daemon_pid(self) -> Path:
        """The daemon's pid, as text."""
        return self.directory / "tandemd.pid"

    @property
    def daemon_log(self) -> Path:
        """What a daemon writes that a launcher started."""
        return self.directory / "tandemd.log"

    @property
    def task_sockets(self) -> Path:
        """The directory of the pod shims' sockets."""
        return self.directory / "s"

    def task_socket(self, address: str, namespace: str, group: str) -> Path:
        """The socket of the pod shim that serves `group` for the containerd at `address`.

        Raises:
            InvalidArgumentError: the run directory's path is too long for a socket in it.
        """
        key = hashlib.sha256("\0".join((address, namespace, group)).encode()).hexdigest()
        path = self.task_sockets / key[:32]
        if len(os.fsencode(gateway_socket(path))) > MAX_SOCKET_PATH_BYTES:
            raise InvalidArgumentError(f"the run directory {self.directory} has too long a path")
        return path

    def oci_runtime_root(self, namespace: str) -> Path:
        """Where runc or crun keeps its state for containers of this containerd namespace."""
        return self.directory / "runc" / namespace

    def create(self) -> None:
        """Make the directories, for root alone."""
        for path in (self.directory, self.task_sockets):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)


def gateway_socket(task_socket: Path) -> Path:
    """The gRPC socket of the pod whose task socket this is."""
    # Not Path.with_name, whose code nothing else on the start path runs.
    return Path(f"{task_socket}{_GATEWAY_SUFFIX}")
