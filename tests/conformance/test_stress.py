"""Many lives in a row, with and without sudden deaths: nothing may add up."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.conformance.workloads import WORKLOADS, Workload
from tests.support import leaks
from tests.support.shim_process import ShimManager
from tests.support.shim_task import Task
from tests.support.tandem_home import TandemHome
from tests.support.ttrpc_client import ClosedError, RpcError

CYCLES = 200
DEATHS = 50
SEED = 20261123


def counts(home: TandemHome) -> dict[str, int]:
    """What could grow: the daemon's descriptors, and the files that Tandem keeps."""
    assert home.daemon_pid is not None
    # Memos of compiled modules come once the image's files are old enough to be trusted.
    files = [
        path for path in home.directory.rglob("*") if path.is_file() and path.parent.name != "memo"
    ]
    return {"daemon fds": len(os.listdir(f"/proc/{home.daemon_pid}/fd")), "files": len(files)}


def settle(home: TandemHome, expected: dict[str, int]) -> dict[str, int]:
    leaks.wait_until(lambda: counts(home) == expected, timeout_s=10)
    return counts(home)


def live(manager: ShimManager, workload: Workload, number: int) -> None:
    """One whole life; every other one ends by a signal."""
    args = workload.sleep() if number % 2 else workload.exit(number % 256)
    task = manager.running(manager.bundle(args))
    if number % 2:
        task.kill(signal.SIGKILL)
    assert task.wait().exit_status == (137 if number % 2 else number % 256)
    task.delete()
    manager.end(task)


@pytest.mark.slow
def test_stress_lives_leave_nothing(manager: ShimManager, home: TandemHome) -> None:
    workloads = list(WORKLOADS.values())
    for number in range(4):
        live(manager, workloads[number // 2 % 2], number)
    before, counted = leaks.Snapshot.take(), counts(home)
    for number in range(CYCLES):
        live(manager, workloads[number // 2 % 2], number)
    assert leaks.leaks(before) == []
    assert settle(home, counted) == counted


def victims(home: TandemHome, task: Task) -> dict[str, int]:
    connected = task.connect()
    found = {"daemon": home.daemon_pid or 0, "shim": connected.shim_pid}
    return found | {"instance": connected.task_pid}


def interrupted(pid: int, begin: Callable[[], int], task: Task, delay_s: float) -> None:
    """Kill a process in the middle of a call; whatever the call answers is fine."""
    with contextlib.suppress(ClosedError, RpcError):
        stream_id = begin()
        time.sleep(delay_s)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        task.client.answered(stream_id, within_s=10)


def die(manager: ShimManager, home: TandemHome, workload: Workload, chance: random.Random) -> str:
    """A life with one SIGKILL somewhere in it; returns where, for the report."""
    moment, victim = chance.choice(["create", "start", "delete"]), chance.choice(range(3))
    task = manager.start_task(manager.bundle(workload.sleep()))
    if moment != "create":
        task.create()
    if moment == "delete":
        task.start()
        task.kill(signal.SIGKILL)
        task.wait()
    name, pid = list(victims(home, task).items())[victim]
    begin = {"create": task.begin_create, "start": task.begin_start, "delete": task.begin_delete}
    delay_s = chance.uniform(0, 0.04)
    interrupted(pid, begin[moment], task, delay_s)
    manager.end(task)
    return f"{name} {delay_s * 1000:.0f} ms into {moment} of {workload.name}, id {task.id}"


@pytest.mark.slow
def test_stress_sudden_deaths_leave_nothing(manager: ShimManager, home: TandemHome) -> None:
    chance = random.Random(SEED)
    workloads = list(WORKLOADS.values())
    for number in range(4):
        live(manager, workloads[number // 2 % 2], number)
    before, counted = leaks.Snapshot.take(), counts(home)
    for _ in range(DEATHS):
        where = die(manager, home, chance.choice(workloads), chance)
        assert leaks.leaks(before) == [], where
    live(manager, WORKLOADS["wasm"], 0)
    assert settle(home, counted) == counted
