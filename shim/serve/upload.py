"""The half of a request that goes to the guest: its body, from the connection into a FIFO.

Rules: never blocks. Bytes are taken from the client only when the guest has taken those before, so
that a body of any size passes in a few hundred KiB.
"""

import contextlib
import os
import select
import socket
import threading
from collections import deque

from shim.serve.memory import receive
from shim.serve.request import Message, RequestReader


class ClientGone(Exception):  # noqa: N818 - a condition, and not ours
    """The client has hung up."""


class Upload:
    """The body of one request, which was not whole when its guest began."""

    def __init__(
        self, connection: socket.socket, reader: RequestReader, message: Message, source: int
    ) -> None:
        # what the guest is told, in words of `error-code`, where the body does not come whole
        self.failed: bytes | None = None
        # set when the body is passed on, or never will be
        self.done = threading.Event()
        # the guest is going to read
        self.wanted = False
        # the guest has read as much as it wants
        self.discard = False
        # the guest's end of the FIFO is open
        self.opened = threading.Event()
        self._connection = connection
        self._reader = reader
        self._message = message
        self._source = source
        self._chunks: deque[bytes] = message.chunks

    @property
    def may_receive(self) -> bool:
        """Whether the client is to send now."""
        message = self._message
        if message.complete or self._chunks:
            return False
        return self.wanted or not message.expects_continue

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits to be told to send."""
        return self.may_receive and self._message.expects_continue

    def register(self, poll: "select.poll") -> None:
        """Wait for the guest, if it is its turn."""
        if self._source >= 0 and self._chunks:
            poll.register(self._source, select.POLLOUT)

    def move(self) -> bool:
        """Take a piece, pass pieces on; True if anything moved.

        Raises:
            BadRequest: the body is none.
            ClientGone: its end did not come.
        """
        if self._source < 0:
            return False
        received = self.may_receive and self._receive()
        return self._pass_on() or received

    def close(self) -> None:
        """Let go of the FIFO; a body that is not whole never will be."""
        if not self._message.complete:
            self.failed = self.failed or b"connection-terminated"
        if self._source >= 0:
            # Opening a FIFO waits for somebody at its other end, and what nobody holds is lost.
            self.opened.wait()
            os.close(self._source)
            self._source = -1
        self.done.set()

    def _receive(self) -> bool:
        try:
            data = receive(self._connection)
        except BlockingIOError:
            return False
        if not data:
            raise ClientGone("the client ended its request early")
        self._reader.feed(data)
        return True

    def _pass_on(self) -> bool:
        moved = False
        with contextlib.suppress(BlockingIOError):
            while self._chunks:
                if not self.discard:
                    written = os.write(self._source, self._chunks[0])
                    if written < len(self._chunks[0]):
                        self._chunks[0] = self._chunks[0][written:]
                        return True
                self._chunks.popleft()
                moved = True
        if not self._chunks and self._message.complete:
            self.close()
            return True
        return moved
