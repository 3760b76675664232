"""Standard streams over FIFOs: what arrives, when each side sees the end."""

import os
import time

import pytest

from shim.ttrpc.codes import Code
from tests.conformance.workloads import Workload
from tests.support.bundle import Bundle, Output
from tests.support.shim_process import ShimManager
from tests.support.ttrpc_client import RpcError


def output(bundle: Bundle) -> Output:
    assert bundle.stdout is not None
    return bundle.stdout


def test_stdout_and_stderr_arrive_apart_and_end(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.say("to-out", "to-err"))
    task = manager.running(bundle)
    assert output(bundle).read_to_end() == b"to-out"
    assert bundle.stderr is not None
    assert bundle.stderr.read_to_end() == b"to-err"
    assert task.wait().exit_status == 0


def test_output_ends_after_exit_without_delete(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.sleep())
    task = manager.running(bundle)
    with pytest.raises(TimeoutError):
        output(bundle).read_to_end(timeout_s=0.2)
    task.kill(9)
    assert output(bundle).read_to_end() == b""


def test_output_ends_after_delete_of_a_created_task(
    manager: ShimManager, workload: Workload
) -> None:
    bundle = manager.bundle(workload.exit(0))
    task = manager.created(bundle)
    task.delete()
    assert output(bundle).read_to_end() == b""


def test_large_output_arrives_whole_through_a_slow_reader(
    manager: ShimManager, workload: Workload
) -> None:
    bundle = manager.bundle(workload.flood(1024))
    task = manager.running(bundle)
    time.sleep(0.2)
    data = output(bundle).read_to_end(timeout_s=30)
    assert len(data) == 1024 * 1024
    assert data.strip(b"x") == b""
    assert task.wait().exit_status == 0


def test_output_survives_a_client_that_reopens(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.cat(), stdin=True)
    task = manager.running(bundle)
    assert bundle.stdin is not None
    bundle.stdin.open()
    bundle.stdin.write(b"before ")
    output(bundle).read_until(b"before ")
    output(bundle).close()
    bundle.stdin.write(b"away ")
    time.sleep(0.1)
    path = output(bundle).path
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    bundle.stdin.write(b"after")
    bundle.stdin.close()
    task.close_io()
    assert task.wait().exit_status == 0
    assert os.read(fd, 100) == b"away after"
    os.close(fd)


def test_stdin_ends_with_close_io(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.cat(), stdin=True)
    task = manager.running(bundle)
    assert bundle.stdin is not None
    bundle.stdin.open()
    bundle.stdin.write(b"one ")
    output(bundle).read_until(b"one ")
    bundle.stdin.write(b"two")
    task.close_io()
    waiting = task.begin_wait()
    assert not task.client.answered(waiting, within_s=0.2)
    bundle.stdin.close()
    assert task.finish_wait(waiting).exit_status == 0
    assert output(bundle).read_to_end() == b"one two"


def test_stdin_survives_a_client_that_goes(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.cat(), stdin=True)
    task = manager.running(bundle)
    assert bundle.stdin is not None
    bundle.stdin.open()
    bundle.stdin.write(b"one ")
    output(bundle).read_until(b"one ")
    bundle.stdin.close()
    waiting = task.begin_wait()
    assert not task.client.answered(waiting, within_s=0.3)
    bundle.stdin.open()
    bundle.stdin.write(b"two")
    output(bundle).read_until(b"two")
    bundle.stdin.close()
    task.close_io()
    assert task.finish_wait(waiting).exit_status == 0


def test_close_io_without_stdin_and_twice(manager: ShimManager, workload: Workload) -> None:
    plain = manager.running(manager.bundle(workload.sleep()))
    plain.close_io()
    with_stdin = manager.running(manager.bundle(workload.sleep(), stdin=True))
    with_stdin.close_io()
    with_stdin.close_io()
    assert with_stdin.state().status == 2


def test_without_streams(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.say("out", "err"))
    task = manager.start_task(bundle)
    task.create(stdin="", stdout="", stderr="")
    task.start()
    assert task.wait().exit_status == 0
    state = task.state()
    assert (state.stdin, state.stdout, state.stderr) == ("", "", "")


def test_output_into_a_file_is_appended(manager: ShimManager, workload: Workload) -> None:
    bundle = manager.bundle(workload.say("out", ""))
    path = manager.directory / "out.log"
    path.write_bytes(b"old ")
    task = manager.start_task(bundle)
    task.create(stdout=f"file://{path}", stderr=f"file://{path}")
    task.start()
    assert task.wait().exit_status == 0
    task.delete()
    assert path.read_bytes() == b"old out"


def test_missing_fifo_fails_create_and_the_shim_lives(
    manager: ShimManager, workload: Workload
) -> None:
    bundle = manager.bundle(workload.exit(0))
    task = manager.start_task(bundle)
    with pytest.raises(RpcError):
        task.create(stdout=str(manager.directory / "missing/fifo"))
    with pytest.raises(RpcError, check=lambda error: error.code == Code.NOT_FOUND):
        task.delete()
    assert task.connect().shim_pid > 0
