"""What can be executed in a Wasm container: its files, their functions, and Linux programs."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.bundle import overlay
from tests.support.leaks import cgroups, wait_until
from tests.support.shim_process import ShimManager, alive
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

SH = "/bin/sh"


@pytest.fixture
def task(manager: ShimManager) -> Task:
    return manager.running(manager.bundle(["/sleep.wasm"]))


def test_wasm_exec_of_another_file(task: Task) -> None:
    assert task.run(["/hello.wasm"]) == (0, b"hello from wasm\n", b"")


def test_wasm_exec_has_its_arguments_and_environment(task: Task) -> None:
    status, out, _ = task.run(["/environ.wasm", "up", ""], env=["ONE=1"])
    assert (status, out) == (0, b"/environ.wasm\0up\0\0\0ONE=1\0")


def test_wasm_exec_of_a_function(task: Task) -> None:
    assert task.run(["/functions.wasm#seven"])[0] == 7
    assert task.run(["/functions.wasm#eight"])[0] == 8
    assert task.run(["/functions.wasm"])[0] == 9


def test_wasm_exec_of_a_function_of_the_containers_own_file(manager: ShimManager) -> None:
    task = manager.running(manager.bundle(["/functions.wasm#rest"]))
    assert task.run(["#seven"])[0] == 7


def test_wasm_exec_of_a_missing_function_says_so(task: Task) -> None:
    status, _, err = task.run(["/functions.wasm#missing"])
    assert status == 137
    assert b"missing" in err


def test_wasm_exec_that_traps_says_why(task: Task) -> None:
    status, _, err = task.run(["/trap.wasm"])
    assert status == 137
    assert b"unreachable" in err


def test_wasm_exec_of_a_broken_file_names_the_reason(task: Task) -> None:
    process = task.exec(["/broken.wasm"])
    with pytest.raises(RpcError, match="wasmtime refuses"):
        process.start()
    process.wait()
    process.delete()


def test_wasm_exec_is_in_the_jail_of_the_init(task: Task) -> None:
    process = task.exec(["/sleep.wasm"])
    pid, init = process.start().pid, task.state().pid
    for kind in ("net", "ipc", "uts"):
        names = [Path(f"/proc/{one}/ns/{kind}").readlink() for one in (pid, init)]
        assert names[0] == names[1]
    assert Path(f"/proc/{pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    groups = [Path(f"/proc/{one}/cgroup").read_text() for one in (pid, init)]
    assert groups[0] == groups[1]
    status = Path(f"/proc/{pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_wasm_exec_has_its_user(task: Task) -> None:
    user = {"uid": 1234, "gid": 4321, "additionalGids": [7]}
    pid = task.exec(["/sleep.wasm"], user=user).start().pid
    status = Path(f"/proc/{pid}/status").read_text()
    assert "Uid:\t1234\t1234\t1234\t1234" in status
    assert "Gid:\t4321\t4321\t4321\t4321" in status
    assert task.run(["id", "-u"], user=user) == (0, b"1234\n", b"")


def test_wasm_exec_ends_on_sigterm(task: Task) -> None:
    process = task.exec(["/sleep.wasm"])
    process.start()
    process.kill(signal.SIGTERM)
    assert process.wait().exit_status == 143


def test_wasm_exec_of_a_linux_program(task: Task) -> None:
    assert task.run([SH, "-c", "echo out; echo err >&2; exit 5"]) == (5, b"out\n", b"err\n")
    assert task.run(["echo", "by", "PATH"]) == (0, b"by PATH\n", b"")


def test_wasm_exec_of_linux_programs_share_the_containers_files(task: Task) -> None:
    assert task.run([SH, "-c", "ls /sleep.wasm; echo kept > /tmp/file"])[1] == b"/sleep.wasm\n"
    assert task.run(["cat", "/tmp/file"]) == (0, b"kept\n", b"")


def test_wasm_exec_of_a_shell_at_a_terminal(task: Task) -> None:
    shell = task.exec([SH], stdin=True, terminal=True)
    shell.start()
    shell.input.open()
    shell.resize(101, 51)
    shell.input.write(b"stty size; exit 6\n")
    shell.stdout.read_until(b"51 101\r\n")
    assert shell.wait().exit_status == 6
    shell.delete()


def test_wasm_exec_of_a_linux_program_is_interrupted_at_a_terminal(task: Task) -> None:
    program = task.exec([SH, "-c", "echo up; exec sleep 1000"], stdin=True, terminal=True)
    program.start()
    program.input.open()
    program.stdout.read_until(b"up")
    program.input.write(b"\x03")
    assert program.wait().exit_status == 130
    program.delete()


def test_wasm_exec_of_linux_programs_see_each_other_and_nobody_else(task: Task) -> None:
    task.exec(["/bin/sleep", "1000"]).start()
    busybox = [SH, "-c", "busybox ps -o args"]
    listed = task.run(busybox)[1].decode()
    assert "sleep 1000" in listed
    assert "containerd" not in listed
    # The holder, sleep, and the shell that has become ps.
    assert len(listed.splitlines()) == 1 + 3


def test_wasm_exec_after_the_pid_namespaces_end_makes_another(task: Task) -> None:
    first = task.exec(["/bin/sleep", "1000"])
    pid = first.start().pid
    namespace = Path(f"/proc/{pid}/ns/pid").stat().st_ino
    in_it = [p for p in task.pids() if Path(f"/proc/{p}/ns/pid").stat().st_ino == namespace]
    (holder,) = set(in_it) - {pid}
    os.kill(holder, signal.SIGKILL)
    assert first.wait().exit_status == 137
    assert task.run([SH, "-c", "exit 4"])[0] == 4


def test_wasm_exec_of_a_linux_program_shares_the_pods_network(task: Task) -> None:
    _, out, _ = task.run([SH, "-c", "stat -L -c %i /proc/self/ns/net"])
    assert int(out) == Path(f"/proc/{task.state().pid}/ns/net").stat().st_ino


def test_wasm_exec_of_a_linux_program_ends_with_the_container(task: Task) -> None:
    process = task.exec(["/bin/sleep", "1000"])
    pid = process.start().pid
    assert task.processes()[pid] == process.exec_id
    task.kill(signal.SIGKILL)
    assert task.wait().exit_status == 137
    assert process.wait().exit_status == 137
    assert wait_until(lambda: not alive(pid))
    task.delete()
    assert wait_until(lambda: cgroups(task.id) == set())


def test_wasm_exec_of_a_linux_program_does_not_outlive_the_shim(
    manager: ShimManager, task: Task
) -> None:
    pid = task.exec(["/bin/sleep", "1000"]).start().pid
    manager.kill_shim(task)
    manager.delete_leftovers(task.bundle)
    assert wait_until(lambda: not alive(pid))
    assert cgroups(task.id) == set()


def test_wasm_exec_of_a_linux_program_stands_still(task: Task) -> None:
    process = task.exec(["/bin/cat"], stdin=True)
    process.start()
    process.input.open()
    task.pause()
    process.input.write(b"frozen")
    with pytest.raises(TimeoutError):
        process.stdout.read_until(b"frozen", timeout_s=0.3)
    task.resume()
    process.stdout.read_until(b"frozen")


def test_wasm_exec_where_the_image_has_no_shell_says_so(manager: ShimManager) -> None:
    scratch = manager.directory / "scratch"
    scratch.mkdir()
    shutil.copy2(manager.rootfs / "sleep.wasm", scratch)
    bundle = manager.bundle(["/sleep.wasm"])
    snapshot = manager.directory / "snapshots" / f"{bundle.container_id}-scratch"
    bundle.rootfs = [overlay(scratch, snapshot)]
    task = manager.running(bundle)
    for program in ("sh", "/bin/sh"):
        process = task.exec([program])
        with pytest.raises(RpcError, match=rf"{program} is not in the image .* runs Wasm"):
            process.start()
    assert task.run(["/sleep.wasm#missing"])[0] == 137
