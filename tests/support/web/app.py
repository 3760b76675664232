"""The routes of tests/support/web_guests.py: CPython in a component, by componentize-py."""

import hashlib
import time
from collections.abc import Callable, Iterator
from typing import Any

# componentize-py makes these modules while it builds the component
from componentize_py_types import Err, Ok  # type: ignore[import-not-found]
from wit_world.imports.streams import StreamError_Closed  # type: ignore[import-not-found]
from wit_world.imports.types import (  # type: ignore[import-not-found]
    Fields,
    IncomingBody,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

# what a stream takes at once
_PIECE = 4096
_PAUSE_S = 0.4


class IncomingHandler:
    """The export wasi:http/incoming-handler."""

    def handle(self, request: Any, response_out: Any) -> None:
        path = request.path_with_query().partition("?")[0]
        method = type(request.method()).__name__.removeprefix("Method_").upper()
        answer = _ROUTES.get((method, path))
        if answer is None:
            _send(response_out, [b"nothing is there\n"], 404)
        else:
            _send(response_out, answer(request))


def _send(response_out: Any, pieces: Any, status: int = 200) -> None:
    response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(response_out, Ok(response))
    with body.write() as out:
        for piece in pieces:
            for at in range(0, len(piece), _PIECE):
                out.blocking_write_and_flush(piece[at : at + _PIECE])
    OutgoingBody.finish(body, None)


def _body(request: Any) -> Iterator[bytes]:
    incoming = request.consume()
    with incoming.stream() as stream:
        while True:
            try:
                yield stream.blocking_read(1 << 16)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    break
                raise
    IncomingBody.finish(incoming)


def _hello(request: Any) -> list[bytes]:
    return [b"hello\n"]


def _sum(request: Any) -> list[bytes]:
    digest, size = hashlib.sha256(), 0
    for piece in _body(request):
        digest.update(piece)
        size += len(piece)
    return [f"{size} {digest.hexdigest()}\n".encode()]


def _headers(request: Any) -> list[bytes]:
    return [b"%s: %s\n" % (name.encode(), value) for name, value in request.headers().entries()]


def _stream(request: Any) -> Iterator[bytes]:
    yield b"first\n"
    time.sleep(_PAUSE_S)
    yield b"second\n"
    time.sleep(_PAUSE_S)
    yield b"last\n"


def _fail(request: Any) -> list[bytes]:
    raise RuntimeError("told to fail")


def _slow(request: Any) -> list[bytes]:
    while True:
        pass


_ROUTES: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("GET", "/"): _hello,
    ("HEAD", "/"): _hello,
    ("POST", "/echo"): _body,
    ("POST", "/sum"): _sum,
    ("GET", "/headers"): _headers,
    ("GET", "/stream"): _stream,
    ("GET", "/fail"): _fail,
    ("GET", "/slow"): _slow,
}
