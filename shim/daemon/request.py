"""The wire between a launcher and the node daemon: one request, one answer, both plain data.

Request: five little-endian u32 (magic, argc, envc, bytes of strings, bytes of stdin), then the
strings (working directory, argv, environment), each ended by NUL, then stdin. Answer: three u32
(exit status, bytes of stdout, bytes of stderr), then both texts. The other end of it is
shim/launcher/launcher.c.
Rules: no I/O; stdlib only, since the Python launcher imports it on its start path.
"""

import os
import struct
from dataclasses import dataclass

from shim.daemon.wire import MAGIC, pack_request
from shim.errdefs import InvalidArgumentError

_REQUEST_HEAD = struct.Struct("<5I")
_ANSWER_HEAD = struct.Struct("<3I")

REQUEST_HEAD_BYTES = _REQUEST_HEAD.size
MAX_STRINGS_BYTES = 8 << 20
MAX_STDIN_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What containerd gave to the shim binary that it executed."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    stdin: bytes = b""

    def env_map(self) -> dict[str, str]:
        """The environment as a mapping; entries without `=` are dropped."""
        return {name: value for name, sep, value in (e.partition("=") for e in self.env) if sep}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the shim binary prints and how it exits."""

    status: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


def encode_request(request: Request) -> bytes:
    """The bytes that a launcher sends."""
    return pack_request(list(request.argv), list(request.env), request.cwd, request.stdin)


def body_bytes(head: bytes) -> int:
    """How many bytes follow this head.

    Raises:
        InvalidArgumentError: it is no launcher's, or it announces too much.
    """
    magic, _, _, strings, stdin = _REQUEST_HEAD.unpack(head)
    if magic != MAGIC:
        raise InvalidArgumentError("not a launcher's request: wrong magic number")
    if strings > MAX_STRINGS_BYTES or stdin > MAX_STDIN_BYTES:
        raise InvalidArgumentError("a launcher's request is larger than 8 MiB of strings")
    return int(strings + stdin)


def decode_request(head: bytes, body: bytes) -> Request:
    """The request that head and body make.

    Raises:
        InvalidArgumentError: head and body do not fit together.
    """
    _, argc, envc, strings_bytes, _ = _REQUEST_HEAD.unpack(head)
    strings = [os.fsdecode(text) for text in body[:strings_bytes].split(b"\0")]
    if len(strings) != 1 + argc + envc + 1 or len(body) != body_bytes(head):
        raise InvalidArgumentError("a launcher's request is cut short or malformed")
    return Request(
        argv=tuple(strings[1 : 1 + argc]),
        env=tuple(strings[1 + argc : 1 + argc + envc]),
        cwd=strings[0],
        stdin=body[strings_bytes:],
    )


def encode_answer(answer: Answer) -> bytes:
    """The bytes that the daemon sends back."""
    head = _ANSWER_HEAD.pack(answer.status, len(answer.stdout), len(answer.stderr))
    return head + answer.stdout + answer.stderr


def decode_answer(data: bytes) -> Answer | None:
    """The answer, or None where it is not complete."""
    if len(data) < _ANSWER_HEAD.size:
        return None
    status, out, err = _ANSWER_HEAD.unpack_from(data)
    text = data[_ANSWER_HEAD.size :]
    if len(text) != out + err:
        return None
    return Answer(status, text[:out], text[out:])
