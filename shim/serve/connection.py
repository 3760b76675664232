"""One connection of a client: a request after the other, each answered before the next.

Rules: runs in a thread of its own. A client has a time for its header, and one to stay without a
request; a guest's time begins when the head is whole.
"""

import contextlib
import select
import socket
import time

from shim.serve.memory import receive
from shim.serve.request import BadRequest, Message, RequestReader
from shim.serve.response import plain_answer
from shim.serve.shared import Shared
from shim.serve.transaction import Transaction

_QUEUE_S = 10.0


class Connection:
    """A connection, and the thread that serves it."""

    def __init__(self, shared: Shared, connection: socket.socket) -> None:
        self.idle = True
        # It came when the server was about to end: it is told so, and nobody waits for it.
        self.is_late = shared.draining
        self._shared = shared
        self._options = shared.options
        self._health = shared.options.health.encode()
        self._socket = connection
        self._reader = RequestReader(
            shared.options.max_header_bytes,
            shared.options.max_request_bytes,
            shared.tally.received,
        )
        connection.setblocking(False)  # noqa: FBT003 (the socket API's)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Until client or server has enough."""
        try:
            while not self.is_over and self._serve_next():
                self.idle = True
        except BadRequest as error:
            self._shared.tally.refused()
            self._refuse(error.status)
        except OSError:
            self._socket.close()
        except Exception as error:  # noqa: BLE001 (a thread's last frame)
            self._shared.log(f"a connection ends: {error!r}")
            self._socket.close()
        finally:
            self._reader.close()

    @property
    def is_over(self) -> bool:
        """Whether the client has all that it is going to get."""
        return self._socket.fileno() < 0

    def end_if_idle(self) -> bool:
        """Called by another thread: let it end now, if it has no request; True the first time."""
        if not self.idle:
            return False
        self.idle = False
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)
        return True

    def _serve_next(self) -> bool:
        message = self._next()
        if message is None:
            self._socket.close()
            return False
        if self._is_health(message):
            return self._answer_health(message)
        if self.is_late:
            self._refuse(503)
            return False
        return self._answer(message)

    def _is_health(self, message: Message) -> bool:
        return bool(self._health) and message.target.partition(b"?")[0] == self._health

    def _answer_health(self, message: Message) -> bool:
        """Say whether this server takes requests: without a guest, and whatever guests do."""
        is_head = message.method == b"HEAD"
        status = 503 if self._shared.draining else 200
        fields = [(b"cache-control", b"no-store")]
        if message.method not in {b"GET", b"HEAD"}:
            status, fields = 405, [(b"allow", b"GET, HEAD")]
        goes_on = message.complete and message.keep_alive and not self._shared.draining
        data = plain_answer(status, keep_alive=goes_on, head_only=is_head, fields=fields)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            sent = self._socket.send(data)
        self._shared.tally.sent(sent)
        if sent < len(data):
            # It does not read its answers, which the kernel would keep for long.
            self._shared.reset(self._socket)
            self._socket.close()
        elif not goes_on:
            self._shared.hang_up(self._socket, unread=not message.complete)
        return goes_on and sent == len(data)

    def _answer(self, message: Message) -> bool:
        tally = self._shared.tally
        message.began = time.monotonic()
        tally.began()
        # An instance that has stayed gets no body: see `shim.engine.http.pool`.
        whole = message.complete and not any(message.chunks)
        channel = self._shared.channels.acquire(_QUEUE_S, with_instance=whole)
        if channel is None:
            seconds = time.monotonic() - message.began
            tally.answered(message.method, 503, seconds, "concurrency")
            most = self._options.concurrency
            self._shared.log_of(message, f"503: there are {most} requests in flight (concurrency)")
            self._refuse(503)
            return False
        try:
            transaction = Transaction(self._shared, self._socket, self._reader, message, channel)
            transaction.run()
        finally:
            self._shared.channels.release(channel)
            if not message.counted:
                tally.answered(message.method, 0, time.monotonic() - message.began, None)
        if transaction.reusable and self._shared.draining:
            self._socket.close()
            return False
        return transaction.reusable

    def _next(self) -> Message | None:
        deadline: float | None = None
        while (message := self._reader.next()) is None:
            begun = self._reader.begun
            if deadline is None or (begun and self.idle):
                seconds = self._options.header_timeout_s if begun else self._options.idle_timeout_s
                deadline = time.monotonic() + seconds
            self.idle = not begun
            if self._shared.draining and self.idle and not self.is_late:
                return None
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                if begun:
                    raise BadRequest(408, "the header takes too long")
                return None
            data = receive(self._socket)
            if not data:
                return None
            self._reader.feed(data)
        self.idle = False
        return message

    def _refuse(self, status: int) -> None:
        with contextlib.suppress(OSError):
            self._shared.tally.sent(self._socket.send(plain_answer(status, keep_alive=False)))
        self._shared.hang_up(self._socket, unread=True)
