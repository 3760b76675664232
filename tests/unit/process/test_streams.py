"""Which kind of streams the names make that containerd gives."""

import os
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.process.log_binary import LogBinary
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.process.streams import StreamPaths, open_streams
from shim.process.terminal import Terminal
from tests.unit.process.loops import Reader, Writer, with_reaper
from tests.unit.process.test_log_binary import READY, Logger, children_gone


def test_streams_are_handed_over_as_they_are(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        out = Reader(tmp_path / "out")
        streams, terminal = await open_streams(
            StreamPaths("", str(out.path), "", owner=(1, 2)), "c", "ns", reaper
        )
        assert isinstance(streams, Stdio)
        assert terminal is None
        assert (out.path.stat().st_uid, out.path.stat().st_gid) == (1, 2)
        streams.close()
        out.close()

    with_reaper(scenario)


@pytest.mark.parametrize("stdin", [True, False])
def test_streams_of_a_terminal_are_one(tmp_path: Path, stdin: bool) -> None:
    async def scenario(reaper: Reaper) -> None:
        out, source = Reader(tmp_path / "out"), Writer(tmp_path / "in")
        paths = StreamPaths(str(source.path) if stdin else "", str(out.path), "", terminal=True)
        streams, terminal = await open_streams(paths, "c", "ns", reaper)
        assert isinstance(streams, Terminal)
        assert streams is terminal
        terminal.open_pty()
        if stdin:
            source.write(b"x")
            await out.read_until(b"x")
        else:
            os.write(terminal.child_fds[1], b"y")
            await out.read_until(b"y")
        streams.close()
        out.close()
        source.close()

    with_reaper(scenario)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_streams_of_a_logger(tmp_path: Path, is_terminal: bool) -> None:
    logger = Logger(tmp_path, f"{READY}; cat <&3 > {tmp_path}/out")

    async def scenario(reaper: Reaper) -> None:
        paths = StreamPaths("", f"binary://{logger.path}", "ignored", terminal=is_terminal)
        streams, terminal = await open_streams(paths, "c", "ns", reaper)
        assert isinstance(streams, Terminal if is_terminal else LogBinary)
        if terminal is not None:
            terminal.open_pty()
        os.write(streams.child_fds[1], b"said\n")
        streams.close_child_fds()
        await streams.drained()
        await streams.finish()
        await children_gone()
        streams.close()

    with_reaper(scenario)
    assert logger.read("out") == (b"said\r\n" if is_terminal else b"said\n")


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("stdout", "kind"),
    [
        ("/no/such/fifo", InvalidArgumentError),
        ("npipe:///x", UnimplementedError),
        ("binary:///no/such", InvalidArgumentError),
    ],
)
def test_streams_that_cannot_be_opened_leave_none_open(
    stdout: str, kind: type[Exception], terminal: bool
) -> None:
    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(kind):
            await open_streams(StreamPaths("", stdout, "", terminal=terminal), "c", "ns", reaper)

    with_reaper(scenario)
