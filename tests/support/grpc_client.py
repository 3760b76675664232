"""A gRPC client for tests with the face of `TtrpcClient`.

gRPC's core runs threads, and the processes of many tests fork: the channel lives in a process of
its own, `tests.support.grpc_driver`, and is spoken to in ttrpc's frames, error codes included.
"""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from shim.ttrpc.connection import ClientConnection, ResponseReceived
from tests.support.ttrpc_client import TtrpcClient

_ROOT = Path(__file__).parents[2]
_READY = b"\1"
_CONNECT_TIMEOUT_S = 20.0
_END_TIMEOUT_S = 10.0


class GrpcClient(TtrpcClient):
    """One gRPC connection to a pod's gateway; its loss is `ClosedError`, as in ttrpc."""

    def __init__(self, address: str) -> None:
        assert address.startswith("/"), address
        self._connection = ClientConnection()
        self._answers: dict[int, ResponseReceived] = {}
        self.closed = False
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.grpc_driver", address, str(theirs.fileno())],
                cwd=_ROOT,
                pass_fds=(theirs.fileno(),),
            )
        self._socket.settimeout(_CONNECT_TIMEOUT_S)
        if self._socket.recv(1) != _READY:
            self.close()
            raise ConnectionRefusedError(address)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
