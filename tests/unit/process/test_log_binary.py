"""Real programs that take a container's output, good ones and bad ones."""

import asyncio
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from shim.errdefs import DeadlineExceededError, InvalidArgumentError
from shim.process import log_binary
from shim.process.log_binary import LogBinary
from shim.process.reaper import Reaper
from tests.unit.process.loops import Writer, children, inherited_fds, open_fds, with_reaper

DATA = random.Random(3).randbytes(1 << 20)
READY = "exec 5>&-"
# What it takes, and how it ended.
COPIES = f"""{READY}
cat <&3 > "$(dirname "$0")/out" &
cat <&4 > "$(dirname "$0")/err"
wait
echo end >> "$(dirname "$0")/err"
"""


class Logger:
    """A shell script, and the URI that names it."""

    def __init__(self, directory: Path, script: str) -> None:
        self.directory = directory
        self.path = directory / "logger"
        self.path.write_text(f"#!/bin/sh\n{script}\n")
        self.path.chmod(0o755)

    async def open(self, reaper: Reaper, query: str = "", stdin: str = "") -> LogBinary:
        return await LogBinary.open(stdin, f"binary://{self.path}{query}", "c1", "ns1", reaper)

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()


def run_process(streams: LogBinary, script: str) -> None:
    stdin, stdout, stderr = streams.child_fds
    subprocess.run(
        ["sh", "-c", script], stdin=stdin, stdout=stdout, stderr=stderr, check=True, timeout=10
    )
    streams.close_child_fds()


async def children_gone() -> None:
    """Until the reaper has seen every end."""
    for _ in range(400):
        if not children():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("the program is still there")


def test_logger_gets_what_the_process_writes_and_then_its_end(tmp_path: Path) -> None:
    logger = Logger(tmp_path, COPIES)
    (tmp_path / "data").write_bytes(DATA)

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        run_process(streams, f"cat {tmp_path}/data; echo oops >&2")
        await streams.drained()
        await streams.finish()
        await children_gone()
        streams.close()

    with_reaper(scenario)
    assert logger.read("out") == DATA
    assert logger.read("err") == b"oops\nend\n"


def test_logger_learns_names_arguments_and_nothing_else(tmp_path: Path) -> None:
    script = f'env | sort > {tmp_path}/env; echo "$@" > {tmp_path}/args; {READY}'
    script += f"; exec ls /proc/self/fd > {tmp_path}/fds"
    logger = Logger(tmp_path, script)

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper, "?--path=/x%20y&flag&--level=3")
        await children_gone()
        streams.close()

    with_reaper(scenario)
    env = dict(line.split("=", 1) for line in logger.read("env").decode().splitlines())
    # What a shell adds of its own is not ours.
    assert {k: v for k, v in env.items() if k not in {"PWD", "_", "SHLVL", "OLDPWD"}} == {
        "CONTAINER_ID": "c1",
        "CONTAINER_NAMESPACE": "ns1",
    }
    assert logger.read("args") == b"--path /x y flag --level 3\n"
    # 5 was closed; the last is the directory that `ls` reads.
    fds = set(logger.read("fds").decode().split())
    assert fds - inherited_fds() == {"0", "1", "2", "3", "4", "5"}


@pytest.mark.parametrize("ready", ["exec 5>&-", "echo >&5", "printf ready >&5"])
def test_logger_is_waited_for_until_it_is_ready(tmp_path: Path, ready: str) -> None:
    logger = Logger(tmp_path, f"sleep 0.2; touch {tmp_path}/began; {ready}; cat <&3 >/dev/null")

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        assert (tmp_path / "began").exists()
        await streams.finish()
        streams.close()
        await children_gone()

    with_reaper(scenario)


def test_logger_that_never_gets_ready_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_binary, "_READY_TIMEOUT_S", 0.2)
    logger = Logger(tmp_path, "trap '' TERM; while :; do sleep 0.05; done")

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(DeadlineExceededError, match="not ready after 0"):
            await logger.open(reaper)
        await children_gone()

    with_reaper(scenario)


def test_logger_that_dies_before_it_is_ready_is_nobody_s_error(tmp_path: Path) -> None:
    """Its descriptors are closed, so that it said that it is ready; the container runs on."""
    logger = Logger(tmp_path, "exit 1")

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        await children_gone()
        streams.close()

    with_reaper(scenario)


def test_logger_that_dies_does_not_hold_up_the_end(tmp_path: Path) -> None:
    logger = Logger(tmp_path, f"{READY}; head -c 1 <&3 > /dev/null")

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        run_process(streams, "echo x; sleep 0.3; trap '' PIPE; echo y || true")
        await children_gone()
        await asyncio.wait_for(streams.drained(), 0.5)
        await streams.finish()
        streams.close()

    with_reaper(scenario)


def test_logger_that_reads_nothing_holds_up_the_end_for_a_second(tmp_path: Path) -> None:
    logger = Logger(tmp_path, f"{READY}; exec sleep 100")

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        run_process(streams, "echo x")
        await asyncio.wait_for(streams.drained(), 5)
        await streams.finish()
        streams.close()
        await children_gone()

    with_reaper(scenario)


def test_logger_is_slow_and_gets_everything_before_the_exit_is_told(tmp_path: Path) -> None:
    logger = Logger(tmp_path, f"{READY}; sleep 0.2; cat <&3 > {tmp_path}/out")

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        run_process(streams, "echo last words")
        await streams.drained()
        await streams.finish()
        await children_gone()
        streams.close()

    with_reaper(scenario)
    assert logger.read("out") == b"last words\n"


def test_logger_that_ignores_sigterm_is_killed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_binary, "_KILL_AFTER_S", 0.3)
    script = f"trap 'echo term >> {tmp_path}/got' TERM; {READY}; while :; do sleep 0.02; done"
    logger = Logger(tmp_path, script)

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        await streams.finish()
        streams.close()
        await asyncio.sleep(0.15)
        assert logger.read("got") == b"term\n"
        await children_gone()

    with_reaper(scenario)


def test_logger_s_number_that_is_another_s_now_is_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_binary, "_KILL_AFTER_S", 0.1)
    logger = Logger(tmp_path, f"{READY}; cat <&3 >/dev/null")

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        (pid,) = children()
        streams.close()
        await children_gone()
        killed: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "kill", lambda *call: killed.append(call))
        again = reaper.watch(pid)
        await asyncio.sleep(0.2)
        again.cancel()
        assert killed == []

    with_reaper(scenario)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("binary:///no/such/program", "/no/such/program cannot be executed: No such file"),
        ("binary:///etc/passwd", "/etc/passwd cannot be executed: Permission denied"),
        ("binary://logger", "names no program by its absolute path"),
        ("binary://", "names no program by its absolute path"),
        ("binary:///bin/sh?a=%00", "/bin/sh cannot be executed"),
    ],
)
def test_logger_that_cannot_be_executed_is_refused(uri: str, text: str) -> None:
    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(InvalidArgumentError, match=text):
            await LogBinary.open("", uri, "c1", "ns1", reaper)

    with_reaper(scenario)


def test_logger_beside_a_stdin_that_is_missing_is_not_started(tmp_path: Path) -> None:
    logger = Logger(tmp_path, f"touch {tmp_path}/began")

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(InvalidArgumentError, match="stdio /no/such"):
            await logger.open(reaper, stdin="/no/such")
        await asyncio.sleep(0.05)
        assert not (tmp_path / "began").exists()

    with_reaper(scenario)


def test_stdin_beside_a_logger_is_the_process_s(tmp_path: Path) -> None:
    logger = Logger(tmp_path, COPIES)

    async def scenario(reaper: Reaper) -> None:
        stdin = Writer(tmp_path / "in")
        streams = await logger.open(reaper, stdin=str(stdin.path))
        stdin.write(b"to the process\n")
        stdin.close()
        streams.close_stdin()
        run_process(streams, "cat")
        await streams.drained()
        await streams.finish()
        await children_gone()
        streams.close()

    with_reaper(scenario)
    assert logger.read("out") == b"to the process\n"


def test_logger_s_pipes_outlive_no_close(tmp_path: Path) -> None:
    logger = Logger(tmp_path, COPIES)

    async def scenario(reaper: Reaper) -> None:
        before = open_fds()
        streams = await logger.open(reaper)
        # Three for the process, two that keep the pipes open, and those that stand in for stdio.
        assert open_fds() == before + 8
        streams.resize(80, 25)
        streams.close()
        streams.close()
        assert open_fds() == before
        await children_gone()

    with_reaper(scenario)


def test_logger_has_signals_as_programs_have_them(tmp_path: Path) -> None:
    """The pod shim ignores the ones that it must be able to end it by."""
    logger = Logger(tmp_path, f"{READY}; exec sleep 100")
    ignored = signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def scenario(reaper: Reaper) -> None:
        streams = await logger.open(reaper)
        streams.close()
        await children_gone()

    try:
        with_reaper(scenario)
    finally:
        signal.signal(signal.SIGTERM, ignored)
