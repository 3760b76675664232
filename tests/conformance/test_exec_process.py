"""What an exec's own `process` sets, and its standard streams."""

import time
from typing import Any

import pytest

from tests.conformance.workloads import Workload
from tests.support.shim_process import ShimManager
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

SLEEP = ["/bin/sleep", "1000"]


@pytest.fixture
def linux(manager: ShimManager) -> Task:
    return manager.running(manager.bundle(SLEEP))


@pytest.fixture
def task(manager: ShimManager, workload: Workload) -> Task:
    return manager.running(manager.bundle(workload.sleep()))


def status_of(task: Task, **process: Any) -> dict[str, str]:
    """Return what /proc/self/status says within an exec."""
    status, out, err = task.run(["/bin/cat", "/proc/self/status"], **process)
    assert (status, err) == (0, b"")
    return {
        name: " ".join(value.split())
        for name, _, value in (line.partition(":") for line in out.decode().splitlines())
    }


def test_exec_has_its_user(linux: Task) -> None:
    user = {"uid": 1234, "gid": 4321, "additionalGids": [7, 8]}
    found = status_of(linux, user=user)
    assert found["Uid"] == "1234 1234 1234 1234"
    assert found["Gid"] == "4321 4321 4321 4321"
    assert set(found["Groups"].split()) >= {"7", "8"}
    assert status_of(linux)["Uid"] == "0 0 0 0"


def test_exec_has_its_working_directory(linux: Task) -> None:
    assert linux.run(["/bin/pwd"], cwd="/tmp") == (0, b"/tmp\n", b"")


def test_exec_in_a_missing_directory_names_it(linux: Task) -> None:
    with pytest.raises(RpcError, match="/not/there"):
        linux.run(["/bin/pwd"], cwd="/not/there")


def test_exec_has_its_environment(linux: Task) -> None:
    status, out, _ = linux.run(["/bin/env"], env=["PATH=/bin", "ONE=1", "EMPTY=", "EQ=a=b"])
    lines = out.decode().splitlines()
    assert status == 0
    assert {"PATH=/bin", "ONE=1", "EMPTY=", "EQ=a=b"} <= set(lines)
    # runc adds HOME where it is missing, nothing else gets in.
    assert {line.partition("=")[0] for line in lines} <= {"PATH", "ONE", "EMPTY", "EQ", "HOME"}


def test_exec_finds_its_program_by_its_path(linux: Task) -> None:
    assert linux.run(["pwd"])[0] == 0


def test_exec_has_its_capabilities(linux: Task) -> None:
    names = ["CAP_CHOWN", "CAP_NET_RAW"]
    sets = dict.fromkeys(("bounding", "effective", "permitted"), names)
    found = status_of(linux, capabilities=sets)
    assert int(found["CapEff"], 16) == int(found["CapBnd"], 16) == (1 << 0) | (1 << 13)
    assert int(status_of(linux)["CapEff"], 16) == 1 << 5


def test_exec_has_no_new_privileges_or_not(linux: Task) -> None:
    assert status_of(linux, noNewPrivileges=True)["NoNewPrivs"] == "1"
    assert status_of(linux, noNewPrivileges=False)["NoNewPrivs"] == "0"


def test_exec_has_its_limits(linux: Task) -> None:
    # Not RLIMIT_NOFILE: Go's start in runc 1.1 now and then sets its soft limit to the hard one.
    limits = [{"type": "RLIMIT_CORE", "soft": 123, "hard": 456}]
    _, out, _ = linux.run(["/bin/cat", "/proc/self/limits"], rlimits=limits)
    line = next(line for line in out.decode().splitlines() if line.startswith("Max core file"))
    assert line.split()[4:6] == ["123", "456"]


def test_exec_is_in_the_containers_namespaces_and_cgroup(linux: Task) -> None:
    script = "ls -l /proc/self/ns | grep -o '[a-z]*:.[0-9]*.'; cat /proc/self/cgroup"
    _, inside, _ = linux.run(["/bin/sh", "-c", script])
    _, again, _ = linux.run(["/bin/sh", "-c", script.replace("self", "1")])
    assert inside == again
    assert b"mnt:" in inside


def test_exec_of_a_script_with_an_environment_of_its_own_status(linux: Task) -> None:
    assert linux.run(["/bin/sh", "-c", "kill -TERM $$"])[0] == 143
    assert linux.run(["/bin/sh", "-c", "exit 255"])[0] == 255


@pytest.mark.parametrize("sizes", [[100_000], [1000] * 500], ids=["one", "many"])
def test_large_arguments_of_an_exec(linux: Task, sizes: list[int]) -> None:
    words = ["x" * size for size in sizes]
    status, out, _ = linux.run(["/bin/echo", *words])
    assert (status, out) == (0, " ".join(words).encode() + b"\n")


def test_streams_of_an_exec_arrive_apart_and_end(task: Task, workload: Workload) -> None:
    assert task.run(workload.say("to-out", "to-err")) == (0, b"to-out", b"to-err")


def test_output_of_an_exec_ends_without_delete(task: Task, workload: Workload) -> None:
    process = task.exec(workload.sleep())
    process.start()
    with pytest.raises(TimeoutError):
        process.stdout.read_to_end(timeout_s=0.2)
    process.kill(9)
    assert process.stdout.read_to_end() == b""


def test_large_output_of_an_exec_arrives_whole(task: Task, workload: Workload) -> None:
    process = task.exec(workload.flood(1024))
    process.start()
    time.sleep(0.2)
    data = process.stdout.read_to_end(timeout_s=30)
    assert len(data) == 1024 * 1024
    assert data.strip(b"x") == b""
    assert process.wait().exit_status == 0


def test_stdin_of_an_exec_ends_with_close_io(task: Task, workload: Workload) -> None:
    process = task.exec(workload.cat(), stdin=True)
    process.start()
    process.input.open()
    process.input.write(b"one ")
    process.stdout.read_until(b"one ")
    process.input.write(b"two")
    process.close_io()
    waiting = process.begin_wait()
    assert not task.client.answered(waiting, within_s=0.2)
    process.input.close()
    assert process.finish_wait(waiting).exit_status == 0
    assert process.stdout.read_to_end() == b"one two"
    process.close_io()


def test_stdin_of_an_exec_survives_a_client_that_goes(task: Task, workload: Workload) -> None:
    process = task.exec(workload.cat(), stdin=True)
    process.start()
    process.input.open()
    process.input.write(b"one ")
    process.stdout.read_until(b"one ")
    process.input.close()
    waiting = process.begin_wait()
    assert not task.client.answered(waiting, within_s=0.3)
    process.input.open()
    process.input.write(b"two")
    process.stdout.read_until(b"two")
    process.input.close()
    process.close_io()
    assert process.finish_wait(waiting).exit_status == 0


def test_close_io_of_an_exec_without_stdin(task: Task, workload: Workload) -> None:
    process = task.exec(workload.sleep())
    process.start()
    process.close_io()
    assert process.state().status == 2


def without_streams(task: Task, args: list[str]) -> int:
    process = task.exec(args)
    process.delete()
    spec = task.bundle.spec["process"] | {"args": args}
    process.register(spec, stdin="", stdout="", stderr="")
    process.start()
    status = process.wait().exit_status
    state = process.state()
    assert (state.stdin, state.stdout, state.stderr) == ("", "", "")
    return status


def test_exec_without_streams(task: Task, workload: Workload) -> None:
    assert without_streams(task, workload.exit(5)) == 5


def test_exec_writes_into_no_streams(task: Task, workload: Workload) -> None:
    assert without_streams(task, workload.say("out", "err")) == 0


def test_output_of_an_exec_into_a_file(
    manager: ShimManager, task: Task, workload: Workload
) -> None:
    path = manager.directory / "exec.log"
    path.write_bytes(b"old ")
    process = task.exec(workload.exit(0))
    process.delete()
    spec = task.bundle.spec["process"] | {"args": workload.say("out", "")}
    process.register(spec, stdout=f"file://{path}", stderr=f"file://{path}")
    process.start()
    assert process.wait().exit_status == 0
    process.delete()
    assert path.read_bytes() == b"old out"


def test_missing_fifo_fails_the_exec_alone(
    manager: ShimManager, task: Task, workload: Workload
) -> None:
    process = task.exec(workload.exit(0))
    process.delete()
    spec = task.bundle.spec["process"] | {"args": workload.exit(0)}
    with pytest.raises(RpcError, match="missing"):
        process.register(spec, stdout=str(manager.directory / "missing/fifo"))
        process.start()
    assert task.run(workload.exit(4))[0] == 4
