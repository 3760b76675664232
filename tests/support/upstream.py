"""A server that guests send requests to: raw bytes, a thread per connection."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from tests.support.http_server import read_until

Handler = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def upstream(
    handler: Handler, first: Callable[[socket.socket], socket.socket] = lambda given: given
) -> Iterator[int]:
    """Call `handler` with each connection that `first` makes of what came, and with what it said up
    to the end of the header; the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads: list[threading.Thread] = []

        def serve(connection: socket.socket) -> None:
            connection.settimeout(20)
            with (
                contextlib.suppress(OSError, AssertionError),
                connection,
                first(connection) as made,
            ):
                handler(made, read_until(made, b"\r\n\r\n"))

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=serve, args=(connection,)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(20)
            for thread in threads:
                thread.join(20)


def answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def reset(connection: socket.socket) -> None:
    """Hang up with an error."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
