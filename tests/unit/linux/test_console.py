"""Terminals that an OCI runtime makes and sends, or does not send."""

import array
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.errdefs import InternalError
from shim.linux.console import ConsoleSocket, with_stdio
from shim.process.reaper import Reaper
from shim.process.stdio import Stdio
from shim.process.terminal import Terminal
from tests.unit.linux.runtimes import FakeRuntime
from tests.unit.process.loops import Reader, open_fds, with_reaper

LONG = "x" * 100


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """With a longer path than a socket may have."""
    path = tmp_path / LONG
    path.mkdir()
    return path


def send(path: str, fds: list[int], text: bytes = b"/dev/ptmx") -> None:
    with socket.socket(socket.AF_UNIX) as to:
        to.connect(path)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        to.sendmsg([text], rights)


def test_console_receives_a_terminal_at_a_short_path(bundle: Path) -> None:
    before = open_fds()
    console = ConsoleSocket(bundle)
    assert len(console.path) < 100 < len(str(bundle))
    master, slave = os.openpty()
    send(console.path, [master])
    received = console.receive()
    os.write(slave, b"hello")
    assert os.read(received, 10) == b"hello"
    assert not os.get_inheritable(received)
    for fd in (master, slave, received):
        os.close(fd)
    console.close()
    assert open_fds() == before
    assert list(bundle.iterdir()) == []


NOTHING: dict[str, Callable[[str], None]] = {
    "nobody came": lambda path: None,
    "a message without one": lambda path: send(path, []),
    "no message": lambda path: send(path, [], b""),
}


@pytest.mark.parametrize("what", NOTHING)
def test_console_without_a_terminal_is_an_error(bundle: Path, what: str) -> None:
    before = open_fds()
    console = ConsoleSocket(bundle)
    NOTHING[what](console.path)
    with pytest.raises(InternalError, match="the OCI runtime has sent no terminal"):
        console.receive()
    console.close()
    assert open_fds() == before


def test_console_takes_one_terminal_and_no_more(bundle: Path) -> None:
    before = open_fds()
    console = ConsoleSocket(bundle)
    master, slave = os.openpty()
    send(console.path, [master, slave])
    received = console.receive()
    os.write(slave, b"hello")
    assert os.read(received, 10) == b"hello"
    for fd in (master, slave, received):
        os.close(fd)
    console.close()
    assert open_fds() == before


def test_console_whose_bundle_is_gone_is_let_go(bundle: Path) -> None:
    before = open_fds()
    console = ConsoleSocket(bundle)
    (next(bundle.iterdir())).unlink()
    bundle.rmdir()
    console.close()
    assert open_fds() == before


def test_stdio_is_handed_over_and_let_go(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, "echo said")

    async def scenario(reaper: Reaper) -> None:
        out = Reader(tmp_path / "out")
        streams = Stdio.open("", str(out.path), "")
        runtime = fake.runtime(reaper)
        await with_stdio(
            fake.bundle,
            streams,
            None,
            lambda stdio, console: runtime.create("c", tmp_path / "pid", stdio, console),
        )
        assert list(streams.child_fds) == []
        await streams.finish()
        assert await out.read_until(None) == b"said\n"
        streams.close()
        out.close()

    with_reaper(scenario)
    assert "--console-socket" not in fake.calls[0]


@pytest.mark.parametrize("terminals", [1, 0])
def test_stdio_is_the_terminal_that_the_runtime_sends(tmp_path: Path, terminals: int) -> None:
    fake = FakeRuntime(tmp_path, f'$send_terminal "$console" hello {terminals}')

    async def scenario(reaper: Reaper) -> None:
        out = Reader(tmp_path / "out")
        terminal = Terminal(Stdio.open("", str(out.path), ""), has_stdin=False)
        runtime = fake.runtime(reaper)
        made = with_stdio(
            fake.bundle,
            terminal,
            terminal,
            lambda stdio, console: runtime.create("c", tmp_path / "pid", stdio, console),
        )
        if terminals == 1:
            await made
            assert await out.read_until(b"hello") == b"hello"
        else:
            with pytest.raises(InternalError, match="has sent no terminal"):
                await made
        terminal.close()
        out.close()

    with_reaper(scenario)
    assert list(fake.bundle.iterdir()) == []
    assert "--console-socket /proc/" in fake.calls[0]


def test_stdio_of_a_runtime_that_fails_leaves_no_socket(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, "exit 1")

    async def scenario(reaper: Reaper) -> None:
        terminal = Terminal(Stdio.open("", "", ""), has_stdin=False)
        runtime = fake.runtime(reaper)
        with pytest.raises(InternalError, match="create failed"):
            await with_stdio(
                fake.bundle,
                terminal,
                terminal,
                lambda stdio, console: runtime.create("c", tmp_path / "pid", stdio, console),
            )
        terminal.close()

    with_reaper(scenario)
    assert list(fake.bundle.iterdir()) == []
