"""The daemon's child and one launcher, or `tandem run`: check who it is, read what it asks, do it,
answer.

Rules: an answer is always sent, also for what cannot be read; a launcher that says nothing is
given up.
"""

import contextlib
import importlib
import os
import select
import socket
from collections.abc import Callable
from functools import partial

from shim import sockets
from shim.daemon import context
from shim.daemon.actions import Launcher, perform
from shim.daemon.info import NAME
from shim.daemon.request import (
    REQUEST_HEAD_BYTES,
    Answer,
    Request,
    body_bytes,
    decode_request,
    encode_answer,
    encode_request,
)
from shim.errdefs import PermissionDeniedError, ShimError
from shim.oci.spec import parse_spec
from shim.pod.main import Host, run_pod
from shim.pod.rehearsal import SPEC
from shim.rundir import RunDir
from shim.runner import wire

Work = Callable[[Host], None]

_REQUEST_TIMEOUT_S = 10.0
_PATIENCE_S = 0.1


def serve_launcher(
    connection: socket.socket, run_dir: RunDir, leave_pool: Callable[[], None]
) -> Work | None:
    """Serve one call; returns what this process has to be from now on, if anything.

    `leave_pool` is called, maybe twice, when this process cannot serve another call, or waits for a
    slow launcher.

    Raises:
        ConnectionError: the launcher went away.
    """
    connection.settimeout(_REQUEST_TIMEOUT_S)
    with connection:
        try:
            launcher_pid = _peer_pid(connection)
            request = _receive(connection, leave_pool)
        except ShimError as error:
            _send(connection, Answer(1, stderr=f"tandem: {error}\n".encode()))
            return None
        if request.argv[:1] == (wire.RUN,):
            # Imported before, last of all: see `prepare_runs`.
            from shim.daemon.run import accept_run  # noqa: PLC0415

            return accept_run(connection, launcher_pid, request, run_dir, leave_pool)
        launcher = Launcher(launcher_pid, leave_pool)
        outcome = perform(request, run_dir, launcher)
        _send(connection, outcome.answer)
    if launcher.has_moved_us:
        leave_pool()
    return partial(run_pod, outcome.pod) if outcome.pod else None


def prepare_runs() -> None:
    """Import what `tandem run` alone needs.

    After everything else, so that it lies on pages of its own, away from those that pod shims
    write to.
    """
    importlib.import_module("shim.daemon.run")


def warm_up(run_dir: RunDir) -> None:
    """Walk the paths that a call will walk, so that their pages are this process's own already."""
    flags = ("-namespace", "n", "-id", "i")
    perform(Request((NAME, *flags, "delete"), (), "/proc"), run_dir, None)
    context.adopt(os.getpid(), "/")
    decode_request(*_split(encode_request(Request((NAME,) * 12, ("A=B",) * 32, "/"))))
    # Past the cache, which would answer from what the daemon has read.
    parse_spec.__wrapped__(SPEC)
    run_dir.task_socket("a", "n", "i")
    with sockets.locked(run_dir):
        sockets.is_alive(run_dir.task_sockets / "none")


def _split(message: bytes) -> tuple[bytes, bytes]:
    return message[:REQUEST_HEAD_BYTES], message[REQUEST_HEAD_BYTES:]


def _peer_pid(connection: socket.socket) -> int:
    pid, uid = sockets.peer(connection)
    if uid != os.geteuid():
        raise PermissionDeniedError(f"user {uid} may not use this daemon")
    return pid


def _receive(connection: socket.socket, leave_pool: Callable[[], None]) -> Request:
    head = _receive_exactly(connection, REQUEST_HEAD_BYTES, leave_pool)
    return decode_request(head, _receive_exactly(connection, body_bytes(head), leave_pool))


def _receive_exactly(connection: socket.socket, size: int, leave_pool: Callable[[], None]) -> bytes:
    chunks: list[bytes] = []
    while size:
        if not select.select([connection], [], [], _PATIENCE_S)[0]:
            # Others must not wait for this one.
            leave_pool()
        try:
            chunk = connection.recv(min(size, 1 << 20))
        except TimeoutError:
            raise ConnectionAbortedError("the launcher says nothing") from None
        if not chunk:
            raise ConnectionResetError("the launcher went away")
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def _send(connection: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(encode_answer(answer))
