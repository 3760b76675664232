"""Answers "hello" to GET and its own body to POST: CPython in a component, by componentize-py."""

from typing import Any

# componentize-py makes these modules while it builds the component
from componentize_py_types import Err, Ok  # type: ignore[import-not-found]
from wit_world.imports.streams import StreamError_Closed  # type: ignore[import-not-found]
from wit_world.imports.types import (  # type: ignore[import-not-found]
    Fields,
    IncomingBody,
    Method_Post,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)

_PIECE = 4096


class IncomingHandler:
    """The export wasi:http/incoming-handler."""

    def handle(self, request: Any, response_out: Any) -> None:
        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as out:
            if isinstance(request.method(), Method_Post):
                _echo(request, out)
            else:
                out.blocking_write_and_flush(b"hello\n")
        OutgoingBody.finish(body, None)


def _echo(request: Any, out: Any) -> None:
    incoming = request.consume()
    with incoming.stream() as stream:
        while True:
            try:
                data = stream.blocking_read(_PIECE)
            except Err as error:
                if isinstance(error.value, StreamError_Closed):
                    break
                raise
            out.blocking_write_and_flush(data)
    IncomingBody.finish(incoming)
