import json

import pytest

from shim.cli.checks.cri import handlers_in
from shim.errdefs import UnavailableError


def field(number: int, data: bytes) -> bytes:
    size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7])
    return bytes([number << 3 | 2]) + size + data


def reply(**info: str) -> bytes:
    """A StatusResponse: its status, with numbers of every wire type, and the map `info`."""
    others = b"\x08\x01" + b"\x11" + bytes(8) + b"\x1d" + bytes(4)
    entries = [field(1, k.encode()) + field(2, v.encode()) for k, v in info.items()]
    return others + field(1, b"status") + b"".join(field(2, entry) for entry in entries)


def test_handlers_are_those_of_the_verbose_status() -> None:
    runtimes = {"runc": {"runtimeType": "io.containerd.runc.v2"}, "t": {"runtimeType": "x"}}
    config = json.dumps({"containerd": {"runtimes": runtimes}, "more": 1})
    assert handlers_in(reply(config=config, golang="x")) == {
        "runc": "io.containerd.runc.v2",
        "t": "x",
    }


@pytest.mark.parametrize(
    "message", [b"", reply(), reply(config="{"), reply(config="[]"), b"\xff", b"\x0b", b"\x12\xff"]
)
def test_what_says_nothing_is_an_error(message: bytes) -> None:
    with pytest.raises(UnavailableError, match="does not say"):
        handlers_in(message)
