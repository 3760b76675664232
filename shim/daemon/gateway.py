"""Makes the gateway of a new pod: a child of the pod shim that is to be, and a leaf.

Rules: gRPC is imported in the child alone, after the fork; the child keeps nothing of its parent's
but the lifeline. Why a fork, not a fresh interpreter: docs/decisions/0008-the-gateway-is-forked.md.
"""

import os
import select
import signal
import socket
from pathlib import Path
from typing import NoReturn

from shim.errdefs import InternalError
from shim.gateway.names import READY
from shim.jail.inherited import drop_inherited
from shim.process.forking import fork
from shim.rundir import RunDir, gateway_socket

_READY_TIMEOUT_S = 30.0
_MAX_TEXT_BYTES = 1000


class NewGateway:
    """A gateway that is not the pod's yet: it listens under a temporary name, or is about to."""

    def __init__(self, run_dir: RunDir, task_socket: Path) -> None:
        self._task_socket = task_socket
        self._temporary = run_dir.task_sockets / f"grpc-{os.getpid()}"
        self._temporary.unlink(missing_ok=True)
        self.lifeline, theirs = socket.socketpair()
        self._pid = fork()
        if self._pid == 0:
            _be_gateway(run_dir, task_socket, self._temporary, theirs)
        theirs.close()

    def wait_until_ready(self) -> None:
        """Return when it listens.

        Raises:
            InternalError: it cannot.
        """
        if not select.select([self.lifeline], [], [], _READY_TIMEOUT_S)[0]:
            raise InternalError(f"gateway: not ready within {_READY_TIMEOUT_S:.0f} s")
        said = self.lifeline.recv(_MAX_TEXT_BYTES)
        if said != READY:
            raise InternalError(f"gateway: {said.decode(errors='replace') or 'died'}")

    def publish(self) -> None:
        """Give its socket the name that the pod's gateway has, for who holds the lock."""
        self._temporary.rename(gateway_socket(self._task_socket))

    def discard(self) -> None:
        """End it; nothing is left."""
        self.lifeline.close()
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self._temporary.unlink(missing_ok=True)


def _be_gateway(
    run_dir: RunDir, task_socket: Path, temporary: Path, lifeline: socket.socket
) -> NoReturn:
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.setsid()
        os.chdir("/")
        drop_inherited([lifeline.fileno()])
        for _ in range(3):
            os.open(os.devnull, os.O_RDWR)
        try:
            from shim.gateway.server import GatewayPaths, run_gateway  # noqa: PLC0415 (see above)

            public = gateway_socket(task_socket)
            run_gateway(GatewayPaths(run_dir, task_socket, public, temporary), lifeline)
        except Exception as error:
            # The parent tells it to containerd.
            lifeline.send(repr(error).encode()[:_MAX_TEXT_BYTES])
            raise
        status = 0
    finally:
        os._exit(status)
