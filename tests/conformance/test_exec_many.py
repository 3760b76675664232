"""Many execs, at once and in a row: nothing of them stays."""

import signal
from dataclasses import dataclass

import pytest

from tests.conformance.workloads import Workload
from tests.support import leaks
from tests.support.descriptors import open_files
from tests.support.shim_process import ShimBinary, ShimManager
from tests.support.shim_task import Exec, Task

AT_ONCE = 20
IN_A_ROW = 1000
IN_A_ROW_ON_THE_REFERENCE = 100
BATCH = 5


def test_many_execs_at_once(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    args = [workload.say(f"out-{number}", f"err-{number}") for number in range(AT_ONCE)]
    processes = [task.exec(words) for words in args]
    starts = [process.begin_start() for process in processes]
    for process, stream_id in zip(processes, starts, strict=True):
        process.finish_start(stream_id)
    for number, process in enumerate(processes):
        assert process.read() == [f"out-{number}".encode(), f"err-{number}".encode()]
        assert process.wait().exit_status == 0
        process.delete()


def test_many_execs_started_and_killed_at_once(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    processes = [task.exec(workload.sleep()) for _ in range(AT_ONCE)]
    starts = [process.begin_start() for process in processes]
    for process, stream_id in zip(processes, starts, strict=True):
        process.finish_start(stream_id)
        process.kill(signal.SIGKILL)
    assert {process.wait().exit_status for process in processes} == {137}
    assert task.state().status == 2


@dataclass(frozen=True)
class Kept:
    """What a shim could keep of an exec."""

    fds: int
    terminals: int
    children: frozenset[int]
    files: frozenset[str]


def kept(task: Task) -> Kept:
    pid = task.connect().shim_pid
    targets = open_files(pid)
    return Kept(
        fds=len(targets),
        terminals=sum("/dev/pt" in target for target in targets),
        children=frozenset(process.pid for process in leaks.descendants(pid)),
        files=frozenset(str(path) for path in task.bundle.path.iterdir()),
    )


def batch(task: Task, workload: Workload, status: int) -> None:
    """Run a few side by side; the last one has a terminal, and one of them is killed."""
    kinds = [workload.exit(status), workload.say("a", "b"), workload.sleep(), workload.exit(0)]
    processes: list[Exec] = [task.exec(args) for args in kinds]
    processes.append(task.exec(workload.exit(status), stdin=True, terminal=True))
    starts = [process.begin_start() for process in processes]
    for process, stream_id in zip(processes, starts, strict=True):
        process.finish_start(stream_id)
    processes[2].kill(signal.SIGKILL)
    # A process whose output nobody reads is given time for a reader to come.
    assert processes[1].read() == [b"a", b"b"]
    statuses = [process.wait().exit_status for process in processes]
    assert statuses == [status, 0, 137, 0, status]
    for process in processes:
        process.delete()
        process.close()


@pytest.mark.slow
def test_many_execs_in_a_row_leave_nothing(
    shim: ShimBinary, manager: ShimManager, workload: Workload
) -> None:
    # Everything of the container, the Go shim's threads and pools among it, is there after a few.
    task = manager.running(manager.bundle(workload.sleep()))
    for number in range(4):
        batch(task, workload, number)
    before = kept(task)
    count = IN_A_ROW if shim.is_tandem else IN_A_ROW_ON_THE_REFERENCE
    for number in range(count // BATCH):
        batch(task, workload, number % 100)
    leaks.wait_until(lambda: kept(task) == before)
    after = kept(task)
    # A Go program closes some when it collects its garbage; a leak would be one for each exec.
    allowed = 0 if shim.is_tandem else count // 10
    assert after.fds <= before.fds + allowed
    assert after.terminals <= before.terminals + allowed
    assert (after.children, after.files) == (before.children, before.files)
    assert task.state().status == 2
