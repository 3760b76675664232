"""The daemon's child and a `tandem run`: take what it hands over, and become its runner.

Rules: what cannot be read as a command line costs this process nothing, and leaves it in the pool:
the client then explains itself to its user. The client's descriptors follow its request on the same
connection; whoever has taken them answers for the rest.
"""

import array
import contextlib
import os
import socket
from collections.abc import Callable
from functools import partial

from shim.daemon import context
from shim.daemon.request import Request
from shim.errdefs import ShimError
from shim.pod.main import Host
from shim.rundir import RunDir
from shim.runner import wire
from shim.runner.main import Run, run_guest
from shim.runner.options import UsageError, parse_words

_STDIO_FDS = 3
# It was sent together with the request.
_STDIO_TIMEOUT_S = 1.0


def accept_run(
    connection: socket.socket,
    client_pid: int,
    request: Request,
    run_dir: RunDir,
    leave_pool: Callable[[], None],
) -> Callable[[Host], None] | None:
    """The runner that this process has to be; None where the call was answered already.

    Raises:
        ConnectionError: the client went away.
    """
    try:
        options = parse_words(request.argv[1:])
    except UsageError:
        connection.sendall(wire.NOT_UNDERSTOOD)
        return None
    stdio = _receive_stdio(connection)
    try:
        connection.sendall(wire.TAKEN)
        context.adopt(client_pid, request.cwd)
    except ConnectionError:
        _close(stdio)
        raise
    except ShimError as error:
        leave_pool()
        _close(stdio)
        connection.sendall(wire.pack_end(wire.STATUS_FAILED, f"tandem: {error}\n"))
        return None
    connection.settimeout(None)
    ours = socket.socket(fileno=connection.detach())
    run = Run(ours, options, request.env_map(), stdio, run_dir, leave_pool)
    return partial(run_guest, run)


def _receive_stdio(connection: socket.socket) -> list[int]:
    fds = array.array("i")
    room = socket.CMSG_SPACE(_STDIO_FDS * fds.itemsize)
    connection.settimeout(_STDIO_TIMEOUT_S)
    try:
        data, ancillary, _, _ = connection.recvmsg(len(wire.STDIO), room, socket.MSG_CMSG_CLOEXEC)
    except TimeoutError:
        raise ConnectionAbortedError("the client says nothing") from None
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    if data != wire.STDIO or len(fds) != _STDIO_FDS:
        _close(fds)
        raise ConnectionAbortedError("the client hands over no stdio")
    return list(fds)


def _close(fds: "array.array[int] | list[int]") -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
