"""Answers whoever collects the numbers of a server: one page, in one thread, and never for long.

Rules: nothing here waits for a client: a fixed number of connections is open, each for a few
seconds and one request, and the oldest makes room for the next. The page is made anew only after
a moment, so that clients without number cost the guests' requests nothing to speak of.
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable

from shim.serve.metrics import CONTENT_TYPE
from shim.serve.request import BadRequest, Message, RequestReader
from shim.serve.response import plain_answer, whole_answer

PATH = b"/metrics"
BACKLOG = 16
_CONNECTIONS = 16
_CONNECTION_S = 5.0
_FRESH_S = 0.1
_MAX_HEADER_BYTES = 16 << 10
_RECEIVE = 16 << 10
# after an error of accept, for which the listener stays readable
_PAUSE_S = 0.1


class _Client:
    """A connection: what it has sent so far, and what it has not got yet of its answer."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003 (the socket API's)
        self.connection = connection
        self.reader = RequestReader(_MAX_HEADER_BYTES, 0)
        self.until = time.monotonic() + _CONNECTION_S
        self.answer: memoryview | None = None


class Scrapes:
    """The page's server."""

    def __init__(
        self, listener: socket.socket, text: Callable[[], bytes], log: Callable[[str], None]
    ) -> None:
        """Take over a listener that does not block.

        Args:
            listener: it; others may accept from it as well.
            text: makes the page.
            log: for what should not be.
        """
        self._listener = listener
        self._text = text
        self._log = log
        self._page = b""
        self._made_at = float("-inf")
        self._selector = selectors.DefaultSelector()
        # in the order of their coming
        self._clients: dict[_Client, None] = {}

    def run(self) -> None:
        """For ever."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        while True:
            try:
                self._turn()
            except Exception as error:  # noqa: BLE001 (a thread's last frame: the next may go well)
                self._log(f"metrics: {error!r}")
                time.sleep(_PAUSE_S)

    def _turn(self) -> None:
        first = next(iter(self._clients), None)
        patience = None if first is None else max(0.0, first.until - time.monotonic())
        for key, _ in self._selector.select(patience):
            if key.fileobj is self._listener:
                self._accept()
            elif key.data in self._clients:
                self._move(key.data)
        now = time.monotonic()
        for client in [client for client in self._clients if client.until <= now]:
            self._end(client)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            # Another process of this server was quicker.
            return
        if len(self._clients) >= _CONNECTIONS:
            self._end(next(iter(self._clients)))
        client = _Client(connection)
        self._clients[client] = None
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _move(self, client: _Client) -> None:
        try:
            if client.answer is None:
                self._receive(client)
            if client.answer is not None:
                client.answer = client.answer[client.connection.send(client.answer) :]
                if not client.answer:
                    self._end(client)
        except BlockingIOError:
            return
        except OSError:
            self._end(client)

    def _receive(self, client: _Client) -> None:
        data = client.connection.recv(_RECEIVE)
        if not data:
            self._end(client)
            return
        try:
            client.reader.feed(data)
            message = client.reader.next()
            answer = None if message is None else self._answer(message)
        except BadRequest as error:
            answer = plain_answer(error.status, keep_alive=False)
        if answer is not None:
            client.answer = memoryview(answer)
            self._selector.modify(client.connection, selectors.EVENT_WRITE, client)

    def _answer(self, message: Message) -> bytes:
        is_head = message.method == b"HEAD"
        if message.target.partition(b"?")[0] != PATH:
            return plain_answer(404, keep_alive=False, head_only=is_head)
        if message.method not in {b"GET", b"HEAD"}:
            allow = ((b"allow", b"GET, HEAD"),)
            return plain_answer(405, keep_alive=False, fields=allow)
        now = time.monotonic()
        if now > self._made_at + _FRESH_S:
            self._page, self._made_at = self._text(), now
        fields = ((b"content-type", CONTENT_TYPE),)
        return whole_answer(200, fields, self._page, keep_alive=False, head_only=is_head)

    def _end(self, client: _Client) -> None:
        del self._clients[client]
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(client.connection)
        client.connection.close()
