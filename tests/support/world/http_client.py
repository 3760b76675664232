"""A command component for the tests: prints the body of the URL in argv[1] or the variable URL.

Exit status 1 and the reason on stderr if there is no answer, or one other than 200.
"""

import os
import sys
from typing import Any
from urllib.parse import urlsplit

# componentize-py makes these modules while it builds the component
from componentize_py_types import Err, Ok  # type: ignore[import-not-found]
from wit_world.imports import outgoing_handler  # type: ignore[import-not-found]
from wit_world.imports.streams import StreamError_Closed  # type: ignore[import-not-found]
from wit_world.imports.types import (  # type: ignore[import-not-found]
    Fields,
    OutgoingRequest,
    Scheme_Http,
)


class Run:
    """The export wasi:cli/run."""

    def run(self) -> None:
        try:
            status, body = fetch(sys.argv[1] if len(sys.argv) > 1 else os.environ["URL"])
        except Err as error:
            print(f"no answer: {error.value}", file=sys.stderr)
            raise Err(None) from None
        sys.stdout.write(body.decode())
        sys.stdout.flush()
        if status != 200:
            print(f"status {status}", file=sys.stderr)
            raise Err(None)


def fetch(address: str) -> tuple[int, bytes]:
    url = urlsplit(address)
    request = OutgoingRequest(Fields())
    request.set_scheme(Scheme_Http())
    request.set_authority(url.netloc)
    request.set_path_with_query(url.path + (f"?{url.query}" if url.query else "") or "/")
    answer = outgoing_handler.handle(request, None)
    answer.subscribe().block()
    match answer.get():
        case Ok(Ok(response)):
            return response.status(), read(response)
        case Ok(Err() as error):
            raise error
        case other:
            raise RuntimeError(other)


def read(response: Any) -> bytes:
    body = response.consume()
    stream = body.stream()
    chunks = []
    while True:
        try:
            chunks.append(stream.blocking_read(65536))
        except Err as error:
            if isinstance(error.value, StreamError_Closed):
                return b"".join(chunks)
            raise
