"""A name server that says something else each time, as whoever rebinds names does."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Sequence

_A = 1
_HEADER = struct.Struct(">HHHHHH")
# an answer, recursion available
_FLAGS = 0x8180


@contextlib.contextmanager
def name_server(address: str, answers: Sequence[str]) -> Iterator[list[str]]:
    """Answer at port 53 of `address` each question for an IPv4 address with the next of `answers`,
    the last one for ever; what was answered so far."""
    given: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))

        def serve() -> None:
            while True:
                question, asker = server.recvfrom(512)
                if not question:
                    return
                server.sendto(_answer(question, answers, given), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield given
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (address, 53))
            thread.join(20)


def _answer(question: bytes, answers: Sequence[str], given: list[str]) -> bytes:
    end = question.index(b"\0", _HEADER.size) + 5
    asked = question[_HEADER.size : end]
    (kind,) = struct.unpack(">H", asked[-4:-2])
    record = b""
    if kind == _A:
        given.append(answers[min(len(given), len(answers) - 1)])
        # the name is the one at byte 12; class IN, no time to live
        record = struct.pack(">HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(given[-1])
    (number,) = struct.unpack(">H", question[:2])
    return _HEADER.pack(number, _FLAGS, 1, bool(record), 0, 0) + asked + record
