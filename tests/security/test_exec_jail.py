"""A Wasm file executed in a container is in init's jail, and no more can get out of it."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.guest import REFUSED, attacker, bind
from tests.support import leaks
from tests.support.bundle import Bundle
from tests.support.descriptors import open_files
from tests.support.shim_process import ShimManager
from tests.support.shim_task import Task

pytestmark = pytest.mark.root

TOKEN = b"TOKEN_OF_THE_NODE"
NAMESPACES = ("mnt", "net", "ipc", "uts", "pid", "user", "cgroup")


def sitting(manager: ShimManager, **fields: object) -> Task:
    """A running container whose init does nothing but spin."""
    bundle: Bundle = attacker(manager, (), **fields)
    bundle.spec["process"]["args"] = ["/loop.wasm"]
    bundle.write_spec()
    return manager.running(bundle)


def answers(task: Task, *operations: str) -> list[str]:
    status, out, err = task.run(["/attacker.wasm", *operations])
    assert (status, err) == (0, b"")
    lines = out.decode().splitlines()
    return [REFUSED if line.isupper() and line.startswith("E") else line for line in lines]


def link(pid: int, name: str) -> str:
    return os.readlink(f"/proc/{pid}/{name}")


def test_executed_instance_is_in_init_s_namespaces_group_and_root(manager: ShimManager) -> None:
    task = sitting(manager)
    process = task.exec(["/loop.wasm"])
    pid, init = process.start().pid, task.state().pid
    for name in NAMESPACES:
        assert link(pid, f"ns/{name}") == link(init, f"ns/{name}"), name
    assert link(pid, "ns/mnt") != link(os.getpid(), "ns/mnt")
    own = Path(f"/proc/{pid}/cgroup").read_text()
    assert own == Path(f"/proc/{init}/cgroup").read_text() != Path("/proc/self/cgroup").read_text()
    for name in ("root", "cwd"):
        ours, theirs = (Path(f"/proc/{one}/{name}").stat() for one in (pid, init))
        assert (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
    mounts = [Path(f"/proc/{one}/mountinfo").read_text() for one in (pid, init)]
    assert mounts[0] == mounts[1]


@pytest.fixture
def pid_namespace() -> Iterator[str]:
    """The path of one in which somebody lives."""
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "sleep", "1000"]) as host:
        path = f"/proc/{host.pid}/ns/pid_for_children"
        assert leaks.wait_until(lambda: os.readlink(path) != link(os.getpid(), "ns/pid"))
        yield path
        host.kill()


def test_executed_instance_is_in_the_pid_namespace_that_the_spec_joins(
    manager: ShimManager, pid_namespace: str
) -> None:
    """Where it is forked twice, and adopted."""
    namespaces = [{"type": "mount"}, {"type": "pid", "path": pid_namespace}]
    bundle = attacker(manager, ())
    bundle.spec["process"]["args"] = ["/loop.wasm"]
    bundle.spec["linux"]["namespaces"] = namespaces
    bundle.write_spec()
    task = manager.running(bundle)
    process = task.exec(["/loop.wasm"])
    pid, init = process.start().pid, task.state().pid
    assert link(pid, "ns/pid") == link(init, "ns/pid") == os.readlink(pid_namespace)
    assert task.processes() == {init: "", pid: process.exec_id}
    process.kill(signal.SIGTERM)
    assert process.wait().exit_status == 128 + signal.SIGTERM
    process.delete()
    assert answers(task, "read /etc/image") == ["read of the image"]


def test_executed_instance_may_do_what_init_may_and_no_more(manager: ShimManager) -> None:
    task = sitting(manager, process={"user": {"uid": 1000, "gid": 1000}})
    pid = task.exec(["/loop.wasm"]).start().pid
    kept = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Umask", "SigBlk")

    def may(one: int) -> list[str]:
        lines = Path(f"/proc/{one}/status").read_text().splitlines()
        return [line for line in lines if line.startswith(kept)]

    assert may(pid) == may(task.state().pid)
    assert "CapEff:\t0000000000000000" in may(pid)
    assert "NoNewPrivs:\t1" in may(pid)


def test_executed_instance_holds_no_descriptor_that_init_does_not(manager: ShimManager) -> None:
    task = sitting(manager)
    pid = task.exec(["/loop.wasm"]).start().pid

    def held(one: int) -> Counter[str]:
        return Counter(name.partition(":")[0].rpartition("/")[2] for name in open_files(one))

    deadline = time.monotonic() + 5
    while held(pid) != held(task.state().pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held(pid) == held(task.state().pid)
    assert {"mnt", "net", "uts", "ipc", "socket"}.isdisjoint(held(pid))
    assert sorted(int(fd) for fd in os.listdir(f"/proc/{pid}/fd"))[:3] == [0, 1, 2]


def test_executed_instances_share_the_container_s_volumes(
    manager: ShimManager, volume: Path
) -> None:
    """A tmpfs, too, which is nowhere but in the jail's mount namespace."""
    scratch = {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}
    task = sitting(manager, mounts=[scratch, bind(volume, "/volume")])
    assert answers(task, "make /scratch/file kept", "make /volume/new x") == ["done", "done"]
    wanted = ["read kept", "read of the volume", "holds file"]
    assert answers(task, "read /scratch/file", "read /volume/mine", "list /scratch") == wanted
    assert (volume / "new").read_text() == "x"


def test_executed_instance_reads_what_init_has_written(manager: ShimManager) -> None:
    scratch = {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}
    bundle = attacker(manager, ["make /scratch/file of-init", "spin"], mounts=[scratch])
    task = manager.running(bundle)
    deadline = time.monotonic() + 5
    while (found := answers(task, "read /scratch/file")) == [REFUSED]:
        assert time.monotonic() < deadline
    assert found == ["read of-init"]


def test_executed_instance_cannot_reach_the_node(manager: ShimManager, node: Path) -> None:
    task = sitting(manager)
    (node.parent / "node-link").symlink_to(node / "secret")
    up = "../" * 20
    expected = {
        f"read {node}/secret": REFUSED,
        f"readat {up}{node}/secret": REFUSED,
        f"readat ..{node}/secret": REFUSED,
        f"make {node}/new x": REFUSED,
        "read /proc/self/environ": REFUSED,
        "list /proc": "holds",
        "list /sys": "holds",
        "list /dev": "holds",
        "read /etc/image": "read of the image",
    }
    found = answers(task, *expected)
    assert dict(zip(expected, found, strict=True)) == expected
    assert TOKEN not in task.run(["/attacker.wasm", "environment", "arguments"])[1]


def test_executed_instance_keeps_a_readonly_root(manager: ShimManager) -> None:
    task = sitting(manager, root={"path": "rootfs", "readonly": True})
    assert answers(task, "make /new x", "write /etc/image x") == [REFUSED, REFUSED]


def test_executed_instance_is_bounded_by_the_container_s_memory(manager: ShimManager) -> None:
    bundle = attacker(manager, ())
    bundle.spec["process"]["args"] = ["/loop.wasm"]
    bundle.spec["linux"]["resources"]["memory"] = {"limit": 96 << 20}
    bundle.write_spec()
    task = manager.running(bundle)
    process = task.exec(["/attacker.wasm", "eat"])
    process.start()
    assert process.wait(30).exit_status in {134, 137}
    assert task.connect().shim_pid > 0


def test_executed_instance_at_a_terminal_is_its_session_s_leader(manager: ShimManager) -> None:
    task = sitting(manager)
    process = task.exec(["/loop.wasm"], stdin=True, terminal=True)
    pid = process.start().pid
    assert all(link(pid, f"fd/{fd}").startswith("/dev/pts/") for fd in (0, 1, 2))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    session, terminal, foreground = int(fields[3]), int(fields[4]), int(fields[5])
    assert session == foreground == pid
    assert terminal != 0
    process.input.open()
    process.input.write(b"\x03")
    assert process.wait().exit_status == 128 + signal.SIGINT
    process.delete()
    assert task.state().pid > 0
