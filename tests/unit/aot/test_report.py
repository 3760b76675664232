"""What the forker makes of a loader's report, or of its silence."""

import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.aot.entry import Artefact
from shim.aot.report import (
    JSON,
    Loaded,
    describe_loader_death,
    encode_error,
    encode_report,
    modules_of,
    parse_report,
)
from shim.errdefs import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    ShimError,
    UnavailableError,
)
from shim.wasm.binary import Kind


def test_report_of_an_artefact() -> None:
    artefact = Artefact(Path("/c/x.module"), Kind.MODULE, "x")
    loaded = Loaded(artefact, {"name": "a"}, is_new=True, removed=("y: no file of ours",))
    assert parse_report(0, b"some words on stderr" + encode_report(loaded)) == loaded


def test_modules_of_an_image_are_counted_where_the_source_does() -> None:
    artefact = Artefact(Path("/c/x.module"), Kind.MODULE, "x")
    counted: dict[str, dict[str, JSON]] = {
        "none": {},
        "three": {"modules": 3},
        "no number": {"modules": "3"},
    }
    found = {name: modules_of(Loaded(artefact, facts)) for name, facts in counted.items()}
    assert found == {"none": 1, "three": 3, "no number": 1}


def test_report_of_an_error_raises_its_class() -> None:
    with pytest.raises(InvalidArgumentError, match="no module"):
        parse_report(256, encode_error(InvalidArgumentError("no module")))


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
