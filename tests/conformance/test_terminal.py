"""Terminals, of an init and of an exec: echo, size, signals from the keyboard, output, hang-ups."""

import os
import signal
import time
from collections.abc import Callable, Sequence

import pytest

from shim.api import task_pb2
from tests.conformance.workloads import Workload
from tests.support.bundle import HOST_PIDS, Input, Output
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimManager
from tests.support.shim_task import Process, Task
from tests.support.ttrpc_client import RpcError

TTY_INPUT = b"typed\n"
ECHOED = b"typed\r\n"


class Console:
    """A process with a terminal, not started, and the client's ends of its streams."""

    def __init__(self, process: Process, stdin: Input, stdout: Output) -> None:
        self.process = process
        self.stdin = stdin
        self.stdout = stdout

    def start(self) -> None:
        self.process.start()
        self.stdin.open()

    def type(self, data: bytes) -> None:
        self.stdin.write(data)


Open = Callable[[Sequence[str]], Console]


@pytest.fixture(params=["init", "exec"])
def console(request: pytest.FixtureRequest, manager: ShimManager) -> Open:
    """Make a console as the init of a container, or as an exec in one that has none."""

    def init(args: Sequence[str]) -> Console:
        # A pid namespace's init would ignore what the keyboard sends.
        bundle = manager.bundle(args, stdin=True, terminal=True, namespaces=HOST_PIDS)
        return Console(manager.created(bundle), bundle.input, bundle.output)

    def executed(args: Sequence[str]) -> Console:
        sleeper = ["/sleep.wasm"] if args[0].endswith(".wasm") else ["/bin/sleep", "1000"]
        task = manager.running(manager.bundle(sleeper))
        process = task.exec(args, stdin=True, terminal=True)
        return Console(process, process.input, process.stdout)

    return init if request.param == "init" else executed


def test_terminal_echoes_and_ends_its_lines(console: Open, workload: Workload) -> None:
    tty = console(workload.cat())
    tty.start()
    tty.type(TTY_INPUT)
    tty.stdout.read_until(ECHOED + ECHOED)
    tty.type(b"\x04")
    assert tty.process.wait().exit_status == 0
    assert tty.stdout.read_to_end() == ECHOED + ECHOED


def test_state_of_a_terminal(console: Open, workload: Workload) -> None:
    tty = console(workload.cat())
    for status in (task_pb2.CREATED, task_pb2.RUNNING):
        state = tty.process.state()
        assert (state.status, state.terminal, state.stderr) == (status, True, "")
        assert (state.stdin, state.stdout) == (str(tty.stdin.path), str(tty.stdout.path))
        if status == task_pb2.CREATED:
            tty.start()


def test_program_sees_a_terminal(console: Open, workload: Workload) -> None:
    tty = console(workload.on_terminal())
    tty.start()
    assert tty.process.wait().exit_status == 0


def test_program_without_a_terminal_sees_none(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.on_terminal(), stdin=True))
    assert task.wait().exit_status != 0


def test_both_streams_go_through_the_terminal(console: Open, workload: Workload) -> None:
    tty = console(workload.say("out", "err"))
    tty.start()
    assert tty.stdout.read_to_end() == b"outerr"


def test_large_output_of_a_terminal_arrives_whole(console: Open, workload: Workload) -> None:
    tty = console(workload.flood(256))
    tty.start()
    time.sleep(0.2)
    data = tty.stdout.read_to_end(timeout_s=30)
    assert len(data) == 256 * 1024
    assert data.strip(b"x") == b""


def test_output_of_a_terminal_ends_after_a_kill(console: Open, workload: Workload) -> None:
    tty = console(workload.sleep())
    tty.start()
    tty.process.kill(signal.SIGKILL)
    assert tty.process.wait().exit_status == 137
    assert tty.stdout.read_to_end() == b""
    tty.process.delete()


def test_control_c_reaches_the_program(console: Open, workload: Workload) -> None:
    tty = console(workload.sleep())
    tty.start()
    time.sleep(0.2)
    tty.type(b"\x03")
    assert tty.process.wait().exit_status == 130


def test_control_c_reaches_the_foreground_alone(console: Open) -> None:
    script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.05; done"
    tty = console(["/bin/sh", "-c", script])
    tty.start()
    tty.stdout.read_until(b"ready")
    tty.type(b"\x03")
    tty.stdout.read_until(b"caught")
    assert tty.process.wait().exit_status == 3


def test_size_of_a_terminal(console: Open) -> None:
    tty = console(["/bin/sh", "-c", "echo ready; read x; stty size; read x; stty size"])
    tty.start()
    tty.stdout.read_until(b"ready")
    tty.process.resize(123, 45)
    tty.type(b"\n")
    tty.stdout.read_until(b"45 123\r\n")
    tty.process.resize(80, 24)
    tty.type(b"\n")
    tty.stdout.read_until(b"24 80\r\n")
    assert tty.process.wait().exit_status == 0


def test_resize_tells_the_program(console: Open) -> None:
    script = "trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.05; done"
    tty = console(["/bin/sh", "-c", script])
    tty.start()
    tty.stdout.read_until(b"ready")
    tty.process.resize(97, 31)
    tty.stdout.read_until(b"31 97")
    assert tty.process.wait().exit_status == 4


def test_size_set_before_start_is_kept(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/stty", "size"], stdin=True, terminal=True)
    task = manager.created(bundle)
    task.resize(111, 22)
    task.start()
    bundle.output.read_until(b"22 111\r\n")


def test_size_in_the_spec(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/stty", "size"], stdin=True, terminal=True)
    bundle.spec["process"]["consoleSize"] = {"height": 33, "width": 99}
    bundle.write_spec()
    manager.running(bundle)
    bundle.output.read_until(b"33 99\r\n")


def test_terminal_is_named_as_a_terminal(console: Open) -> None:
    tty = console(["/bin/tty"])
    tty.start()
    assert tty.stdout.read_to_end() == b"/dev/pts/0\r\n"


def test_terminal_of_another_user(manager: ShimManager) -> None:
    task = manager.running(manager.bundle(["/bin/sleep", "1000"]))
    script = "stat -c %u $(tty); echo written > $(tty)"
    process = task.exec(["/bin/sh", "-c", script], terminal=True, user={"uid": 1234, "gid": 1234})
    assert process.run()[:2] == (0, b"1234\r\nwritten\r\n")


def test_client_that_goes_hangs_nothing_up(console: Open, workload: Workload) -> None:
    tty = console(workload.cat())
    tty.start()
    tty.type(b"one\n")
    tty.stdout.read_until(b"one\r\none\r\n")
    tty.stdout.close()
    tty.stdin.close()
    time.sleep(0.1)
    fd = os.open(tty.stdout.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    tty.stdin.open()
    tty.type(b"two\n")
    found = bytearray()

    def arrived() -> bool:
        try:
            found.extend(os.read(fd, 100))
        except BlockingIOError:
            return False
        return found == b"two\r\ntwo\r\n"

    assert wait_until(arrived), found
    os.close(fd)
    assert tty.process.state().status == task_pb2.RUNNING


def test_close_io_of_a_terminal_hangs_nothing_up(console: Open, workload: Workload) -> None:
    tty = console(workload.cat())
    tty.start()
    tty.process.close_io()
    tty.process.resize(80, 24)
    waiting = tty.process.begin_wait()
    assert not tty.process.client.answered(waiting, within_s=0.2)
    assert tty.process.state().status == task_pb2.RUNNING


def test_resize_without_a_terminal_does_nothing(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    task.resize(80, 24)
    process = task.exec(workload.sleep())
    process.resize(80, 24)
    process.start()
    process.resize(80, 24)
    assert task.state().status == process.state().status == task_pb2.RUNNING


def test_resize_of_an_exec_that_ended_fails(manager: ShimManager, workload: Workload) -> None:
    process = manager.running(manager.bundle(workload.sleep())).exec(
        workload.exit(0), terminal=True
    )
    process.start()
    process.wait()
    with pytest.raises(RpcError):
        process.resize(80, 24)


def test_terminal_without_stdin(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.say("out", "err"), terminal=True)
    task: Task = manager.running(bundle)
    assert bundle.output.read_to_end() == b"outerr"
    assert task.wait().exit_status == 0
    task.delete()
