"""Many connections to a server that has the routes of web_guests.py; every body is checked.

`python -m tests.support.http_load ADDRESS --connections 50 --seconds 20` asks as fast as answers
come, each connection for itself and again and again on the same one, and prints a JSON object:
`requests`, how many were answered as they should, and `errors`, the first of what went wrong. Its
status is 1 if anything did. The first wrong answer of a connection ends it.
"""

import argparse
import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

_MOST_ERRORS = 20
_ANSWER_S = 60.0


@dataclass
class Outcome:
    """What a run found."""

    requests: int = 0
    errors: list[str] = field(default_factory=list)

    def fail(self, text: str) -> None:
        """Something went wrong."""
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append(text)


@dataclass(frozen=True)
class Request:
    """What is sent, and the body that has to come back."""

    line: str
    fields: tuple[str, ...]
    body: bytes
    answer: bytes

    def __bytes__(self) -> bytes:
        length = (f"content-length: {len(self.body)}",) if self.body else ()
        lines = (f"{self.line} HTTP/1.1", "host: load", *self.fields, *length, "", "")
        return "\r\n".join(lines).encode() + self.body


def _hello(chance: random.Random) -> Request:
    return Request(f"GET /?{chance.getrandbits(32)}", (), b"", b"hello\n")


def _echo(chance: random.Random) -> Request:
    body = chance.randbytes(chance.randrange(1, 20_000))
    return Request("POST /echo", (), body, body)


def _sum(chance: random.Random) -> Request:
    body = chance.randbytes(chance.randrange(1, 20_000))
    answer = f"{len(body)} {hashlib.sha256(body).hexdigest()}\n".encode()
    return Request("POST /sum", (), body, answer)


_KINDS: list[Callable[[random.Random], Request]] = [_hello, _echo, _sum]


async def load(
    host: str, port: int, connections: int, goes_on: Callable[[Outcome], bool]
) -> Outcome:
    """Ask until `goes_on` says no."""
    outcome = Outcome()

    async def one(number: int) -> None:
        chance = random.Random(number)
        request = None
        try:
            reader, writer = await asyncio.open_connection(host, port)
            while goes_on(outcome):
                request = chance.choice(_KINDS)(chance)
                writer.write(bytes(request))
                status, body = await asyncio.wait_for(_answer(reader), _ANSWER_S)
                if (status, body) != (200, request.answer):
                    outcome.fail(f"{request.line}: {status}: {body[:80]!r}")
                    break
                outcome.requests += 1
            writer.close()
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            line = request.line if request else "connecting"
            outcome.fail(f"{line}: {type(error).__name__}: {error}")

    await asyncio.gather(*map(one, range(connections)))
    return outcome


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"\r\ntransfer-encoding: chunked\r\n" not in head:
        length = int(head.partition(b"\r\ncontent-length: ")[2].split(b"\r\n")[0])
        return status, await reader.readexactly(length)
    body = b""
    while size := int(await reader.readline(), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    if await reader.readline() != b"\r\n":
        raise ValueError("no end of the trailers")
    return status, body


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    given = parser.parse_args()
    host, _, port = given.address.rpartition(":")
    end = time.monotonic() + given.seconds
    limit: int = given.requests

    def goes_on(outcome: Outcome) -> bool:
        return outcome.requests < limit if limit else time.monotonic() < end

    outcome = asyncio.run(load(host, int(port), given.connections, goes_on))
    print(json.dumps(asdict(outcome)))
    return 1 if outcome.errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
