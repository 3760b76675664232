"""One connection of a client: a request after the other, each answered before the next.

Rules: runs in a thread of its own. A client has a time for its header, and one to stay without a
request; a guest's time begins when the head is whole.
"""

import contextlib
import select
import socket
import time

from shim.serve.request import BadRequest, Message, RequestReader
from shim.serve.response import plain_answer
from shim.serve.shared import Shared
from shim.serve.transaction import Transaction

_RECEIVE = 64 << 10
_QUEUE_S = 10.0


class Connection:
    """A connection, and the thread that serves it."""

    def __init__(self, shared: Shared, connection: socket.socket) -> None:
        self.idle = True
        self._shared = shared
        self._options = shared.options
        self._socket = connection
        self._reader = RequestReader(
            shared.options.max_header_bytes, shared.options.max_request_bytes
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
            self._refuse(error.status)
        except OSError:
            self._socket.close()
        except Exception as error:  # noqa: BLE001 (a thread's last frame)
            self._shared.log(f"a connection ends: {error!r}")
            self._socket.close()

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
        # An instance that has stayed gets no body: see `shim.engine.http.pool`.
        whole = message.complete and not any(message.chunks)
        channel = self._shared.channels.acquire(_QUEUE_S, with_instance=whole)
        if channel is None:
            self._shared.log(
                f"{message.method.decode()} {message.target[:200].decode()}: 503: there are"
                f" {self._options.concurrency} requests in flight (concurrency)"
            )
            self._refuse(503)
            return False
        transaction = Transaction(self._shared, self._socket, self._reader, message, channel)
        try:
            transaction.run()
        finally:
            self._shared.channels.release(channel)
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
            if self._shared.draining and self.idle:
                return None
            if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                if begun:
                    raise BadRequest(408, "the header takes too long")
                return None
            data = self._socket.recv(_RECEIVE)
            if not data:
                return None
            self._reader.feed(data)
        self.idle = False
        return message

    def _refuse(self, status: int) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(plain_answer(status, keep_alive=False))
        self._shared.hang_up(self._socket, unread=True)
