"""What a new pod shim is given to begin with."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shim.config import Config
from shim.rundir import RunDir


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's name, its bound and listening socket, and what its `start` call brought along.

    `address` is that of containerd's gRPC socket, `ttrpc_address` where its events go.
    """

    listener: socket.socket
    socket_path: Path
    address: str
    namespace: str
    group: str
    bundle: Path
    ttrpc_address: str
    env: Mapping[str, str]
    run_dir: RunDir
    config: Config
    lifeline: socket.socket | None = None
    """Where there is a gateway: it ends when this closes, with the pod shim."""
