"""Carries one request of a guest's: its bodies from and to wasmtime, and all to and from a server.

Rules: a thread of its own per request. Never reads from one side what the other has not taken, so a
body of any size passes in a few hundred KiB. wasmtime speaks HTTP by TCP alone, so the relay
listens on the loopback of the pod; who does not know the path is nobody, and gets nothing.
"""

import contextlib
import hmac
import secrets
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shim.outbound.messages import (
    Answered,
    Asked,
    BadMessageError,
    Field,
    Head,
    chunk,
    end_of_chunks,
)

_PIECE = 64 << 10
_LOOK_S = 0.25
_ACCEPT_S = 10.0
_MAX_STRANGERS = 64
_NEAR_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Of one request, in seconds."""

    connect_s: float
    first_byte_s: float
    between_bytes_s: float


class Relay:
    """One request and its answer. `server` is connected, and the relay's to close."""

    def __init__(
        self,
        server: socket.socket,
        head: Head,
        timeouts: Timeouts,
        stopped: Callable[[], bool],
    ) -> None:
        # the answer's head, when `answered`
        self.status = 0
        self.fields: Sequence[Field] = ()
        # where there is no answer, or no whole one: a case of `error-code`
        self.failed: bytes | None = None
        self.answered = threading.Event()
        self.over = threading.Event()
        self.aborted = False
        # the guest has read as much of the answer as it wants
        self.discard = False
        # given by the guest before the end of its body
        self.trailers: Sequence[Field] = ()
        self.path = f"/{secrets.token_hex(16)}"
        self._server = server
        self._head = head
        self._timeouts = timeouts
        self._stopped = stopped
        self._asked, self._answer = Asked(), Answered(head.method)
        self._to_server, self._to_guest = bytearray(head.encode()), bytearray()
        self._sent_body = self._began = self._ended = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.authority = f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def answer_trailers(self) -> Sequence[Field]:
        """Those of the answer; there when it is over."""
        return self._answer.trailers

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: there can be no more threads.
        """
        threading.Thread(target=self._run, name="relay", daemon=True).start()

    def close(self) -> None:
        """Let go of all, where it was not started."""
        self._listener.close()
        self._server.close()

    def _run(self) -> None:
        guest: socket.socket | None = None
        try:
            guest = self._accept()
            if guest is not None:
                self._move(guest)
        except BadMessageError:
            self._fail(b"HTTP-response-incomplete" if self._began else b"HTTP-protocol-error")
        except OSError:
            self._fail(b"connection-terminated")
        finally:
            if guest is not None:
                if self.failed is not None or not self._ended:
                    with contextlib.suppress(OSError):
                        # an end that is none
                        guest.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )
                guest.close()
            self.close()
            self._fail(b"connection-terminated")
            self.over.set()

    def _fail(self, case: bytes) -> None:
        if not self._ended and self.failed is None:
            self.failed = case
        self.answered.set()

    def _accept(self) -> socket.socket | None:
        """The connection of wasmtime, which knows the path."""
        deadline = time.monotonic() + _ACCEPT_S
        for _ in range(_MAX_STRANGERS):
            self._listener.settimeout(max(0.01, deadline - time.monotonic()))
            found, _ = self._listener.accept()
            asked = Asked()
            try:
                found.settimeout(1.0)
                while not asked.head_done:
                    data = found.recv(_PIECE)
                    if not data:
                        break
                    asked.feed(data)
            except (BadMessageError, OSError):
                found.close()
                continue
            if asked.head_done and hmac.compare_digest(asked.path, self.path.encode()):
                self._asked = asked
                self._listener.close()
                return found
            found.close()
        return None

    def _move(self, guest: socket.socket) -> None:
        guest.setblocking(False)  # noqa: FBT003 (the socket API's)
        self._server.setblocking(False)  # noqa: FBT003 (the socket API's)
        quiet_since = time.monotonic()
        while self.failed is None and not (self._ended and not self._to_guest):
            if self.aborted or self._stopped():
                self._fail(b"connection-terminated")
                break
            moved = self._take_from_guest(guest)
            moved |= self._give(self._server, self._to_server)
            moved |= self._take_from_server()
            moved |= self._give(guest, self._to_guest)
            if moved:
                quiet_since = time.monotonic()
                continue
            self._wait(guest)
            self._check_time(time.monotonic() - quiet_since)

    def _take_from_guest(self, guest: socket.socket) -> bool:
        if self._to_server or self._sent_body:
            return False
        asked = self._asked
        if not asked.complete and not asked.pieces:
            try:
                data = guest.recv(_PIECE)
            except BlockingIOError:
                return False
            if not data:
                raise BadMessageError("the guest has gone")
            asked.feed(data)
        pieces, asked.pieces = asked.pieces, []
        for piece in pieces:
            self._to_server += chunk(piece) if self._head.is_chunked else piece
        if asked.complete:
            self._sent_body = True
            if self._head.is_chunked:
                self._to_server += end_of_chunks(self.trailers)
        return True

    def _take_from_server(self) -> bool:
        answer = self._answer
        if self._to_guest or self._ended:
            return False
        try:
            data = self._server.recv(_PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        if data:
            answer.feed(data)
        else:
            answer.feed_end()
        if answer.head_done and not self._began:
            self._began = True
            self.status, self.fields = answer.status, tuple(answer.fields)
            self._to_guest += _NEAR_HEAD
            self.answered.set()
        pieces, answer.pieces = answer.pieces, []
        for piece in pieces:
            if not self.discard:
                self._to_guest += chunk(piece)
        if answer.complete:
            self._to_guest += end_of_chunks(())
            self._ended = True
        return True

    def _give(self, to: socket.socket, data: bytearray) -> bool:
        if not data:
            return False
        try:
            sent = to.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            if to is not self._server:
                raise
            # It may have answered without reading all, and then hung up.
            data.clear()
            self._sent_body = True
            return True
        del data[:sent]
        return True

    def _wait(self, guest: socket.socket) -> None:
        poll = select.poll()
        near = select.POLLOUT if self._to_guest else 0
        if not self._sent_body and not self._to_server:
            near |= select.POLLIN
        far = (select.POLLOUT if self._to_server else 0) | (
            0 if self._to_guest or self._answer.complete else select.POLLIN
        )
        poll.register(guest, near)
        if far:
            poll.register(self._server, far)
        events = dict(poll.poll(_LOOK_S * 1000))
        if events.get(guest.fileno(), 0) & (select.POLLHUP | select.POLLERR):
            raise BadMessageError("the guest has gone")

    def _check_time(self, quiet_s: float) -> None:
        # It may be the guest that takes its time.
        if self._to_guest or not (self._began or self._sent_body or self._to_server):
            return
        if not self._began and quiet_s > self._timeouts.first_byte_s:
            self._fail(b"HTTP-response-timeout")
        elif self._began and quiet_s > self._timeouts.between_bytes_s:
            self._fail(b"connection-read-timeout")
