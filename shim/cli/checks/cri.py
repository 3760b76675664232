"""What a running containerd offers Kubernetes, asked over CRI (`RuntimeService.Status`).

Rules: one call, read only, with a time limit. Of CRI's messages two fields are wanted, which are
read as they are on the wire: generated classes would be thousands of lines.
"""

import json
from collections.abc import Iterator
from typing import Any

from shim.errdefs import UnavailableError

_STATUS = "/runtime.v1.RuntimeService/Status"
_VERBOSE = b"\x08\x01"  # StatusRequest.verbose = 1
_INFO = 2  # StatusResponse.info, a map of texts


def cri_handlers(socket: str, timeout_s: float) -> dict[str, str]:
    """The runtime handlers by name, with their runtime types.

    Raises:
        UnavailableError: CRI does not answer.
    """
    import grpc

    with grpc.insecure_channel(f"unix:{socket}") as channel:
        status = channel.unary_unary(_STATUS)
        try:
            reply: bytes = status(_VERBOSE, timeout=timeout_s)
        except grpc.RpcError as error:
            code = error.code().name if isinstance(error, grpc.Call) else "no answer"
            raise UnavailableError(f"CRI at {socket} does not answer: {code}") from None
    return handlers_in(reply)


def handlers_in(reply: bytes) -> dict[str, str]:
    """Read a StatusResponse.

    Raises:
        UnavailableError: it is none.
    """
    try:
        info = {}
        for number, value in _fields(reply):
            if number == _INFO:
                entry = dict(_fields(value))
                info[entry[1].decode()] = entry[2].decode()
        config: Any = json.loads(info["config"])
        runtimes = config["containerd"]["runtimes"]
        return {name: str(entry.get("runtimeType", "")) for name, entry in runtimes.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise UnavailableError("CRI does not say which runtimes it has") from None


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message; others are passed over."""
    offset = 0
    while offset < len(message):
        key, offset = _varint(message, offset)
        match key & 7:
            case 0:
                _, offset = _varint(message, offset)
            case 1:
                offset += 8
            case 5:
                offset += 4
            case 2:
                size, offset = _varint(message, offset)
                yield key >> 3, message[offset : offset + size]
                offset += size
            case kind:
                raise ValueError(f"wire type {kind}")


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if not byte & 0x80:
            return value, offset
