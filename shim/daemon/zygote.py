"""tandemd, the node daemon: a process that has everything imported and does nothing but fork.

Each launcher's call is served by a child; a child that serves the first `start` of a pod becomes
that pod's shim. Rules: one thread for life, asserted before every fork; no wasm is run or compiled
here; pods outlive the daemon, so its end touches nothing but its own socket and pid file.
"""

import contextlib
import gc
import os
import signal
import socket
import struct
import sys
import traceback
from types import FrameType
from typing import NoReturn

from shim import sockets
from shim.daemon.actions import perform
from shim.daemon.request import (
    REQUEST_HEAD_BYTES,
    Answer,
    Request,
    body_bytes,
    decode_request,
    encode_answer,
)
from shim.errdefs import PermissionDeniedError, ShimError
from shim.pod.main import Host, run_pod
from shim.process.forking import fork
from shim.rundir import RunDir

_REQUEST_TIMEOUT_S = 10.0
_PEER = struct.Struct("3i")


class _StopRequested(BaseException):
    """SIGTERM or SIGINT arrived."""


def serve(run_dir: RunDir, lock_fd: int, host: Host) -> None:
    """Serve launchers until SIGTERM; `lock_fd` is the daemon's lock, held.

    Raises:
        OSError: the socket cannot be bound.
    """
    run_dir.socket.unlink(missing_ok=True)
    listener = sockets.listen(run_dir.socket)
    run_dir.daemon_pid.write_text(str(os.getpid()))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    # What is alive now is alive in every pod shim: keep the collector from touching, and so
    # copying, it.
    gc.collect()
    gc.freeze()
    with contextlib.suppress(_StopRequested):
        _accept(listener, run_dir, lock_fd, host)
    for path in (run_dir.socket, run_dir.daemon_pid):
        path.unlink(missing_ok=True)


def _accept(listener: socket.socket, run_dir: RunDir, lock_fd: int, host: Host) -> None:
    while True:
        connection, _ = listener.accept()
        try:
            pid = fork()
        except (OSError, ShimError) as error:
            _send(connection, Answer(1, stderr=f"tandem: cannot fork: {error}\n".encode()))
            connection.close()
            continue
        if pid == 0:
            _child(connection, listener, run_dir, lock_fd, host)
        connection.close()


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise _StopRequested


def _child(
    connection: socket.socket, listener: socket.socket, run_dir: RunDir, lock_fd: int, host: Host
) -> NoReturn:
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        listener.close()
        os.close(lock_fd)
        os.setsid()
        _serve_launcher(connection, run_dir, host)
        status = 0
    except ConnectionError:
        pass
    except BaseException:  # noqa: BLE001 (the last frame of this process: say it and end)
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve_launcher(connection: socket.socket, run_dir: RunDir, host: Host) -> None:
    connection.settimeout(_REQUEST_TIMEOUT_S)
    try:
        launcher_pid = _peer_pid(connection)
        request = _receive(connection)
    except ShimError as error:
        _send(connection, Answer(1, stderr=f"tandem: {error}\n".encode()))
        return
    outcome = perform(request, run_dir, launcher_pid)
    _send(connection, outcome.answer)
    connection.close()
    if outcome.pod is not None:
        run_pod(outcome.pod, host)


def _peer_pid(connection: socket.socket) -> int:
    pid, uid, _ = _PEER.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    )
    if uid != os.geteuid():
        raise PermissionDeniedError(f"user {uid} may not use this daemon")
    return int(pid)


def _receive(connection: socket.socket) -> Request:
    head = _receive_exactly(connection, REQUEST_HEAD_BYTES)
    return decode_request(head, _receive_exactly(connection, body_bytes(head)))


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    chunks: list[bytes] = []
    while size:
        chunk = connection.recv(min(size, 1 << 20))
        if not chunk:
            raise ConnectionResetError("the launcher went away")
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _send(connection: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(encode_answer(answer))


def report(text: str) -> None:
    """One line on the daemon's own stderr: its log file, or the journal."""
    sys.stderr.write(f"tandemd: {text}\n")
    sys.stderr.flush()
