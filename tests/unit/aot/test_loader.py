"""What the forker makes of a loader's report, or of its silence."""

import json
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.aot.cache import Artefact
from shim.aot.loader import describe_loader_death, parse_report
from shim.aot.source import Loaded
from shim.errdefs import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.wasm.binary import Kind

ARTEFACT = {"path": "/c/x.module", "kind": "module", "digest": "x", "facts": {"name": "a"}}


def test_report_of_an_artefact() -> None:
    output = b"some words on stderr\n" + json.dumps(ARTEFACT).encode()
    artefact = Artefact(Path("/c/x.module"), Kind.MODULE, "x")
    assert parse_report(0, output) == Loaded(artefact, {"name": "a"})


def test_report_of_an_error_raises_its_class() -> None:
    report = {"error": "no module", "class": "InvalidArgumentError"}
    with pytest.raises(InvalidArgumentError, match="no module"):
        parse_report(256, b"\n" + json.dumps(report).encode())


@given(st.integers(0, 0x7F) | st.integers(0, 255).map(lambda code: code << 8), st.binary())
def test_report_of_any_bytes_is_an_error_of_ours(status: int, output: bytes) -> None:
    if status == 0x7F:  # "stopped" is no end
        return
    with pytest.raises(ShimError):
        parse_report(status, output)


@pytest.mark.parametrize(
    ("status", "tail", "kind", "text"),
    [
        (
            signal.SIGABRT,
            b"memory allocation of 65536 bytes failed\nstack backtrace:\n",
            ResourceExhaustedError,
            r"\[compile\] memory_bytes.*allocation of 65536",
        ),
        (signal.SIGALRM, b"", DeadlineExceededError, r"\[compile\] timeout_s"),
        (signal.SIGXCPU, b"", DeadlineExceededError, r"\[compile\] timeout_s"),
        (signal.SIGKILL, b"", UnavailableError, "signal 9.*memory"),
        (signal.SIGABRT, b"panicked at x:1\nno \xff", InternalError, "signal 6.*panicked at x:1"),
        (signal.SIGSEGV, b"", InternalError, "signal 11.*said nothing"),
        (3 << 8, b"", InternalError, "exited with 3"),
        (-9, b"", UnavailableError, "signal 9"),
    ],
)
def test_death_is_described(status: int, tail: bytes, kind: type[ShimError], text: str) -> None:
    error = describe_loader_death(int(status), tail)
    assert type(error) is kind
    with pytest.raises(kind, match=text):
        raise error
