"""A Linux program in a Wasm container: a container's walls, though no container is its own."""

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.security.guest import attacker, bind, image_of
from tests.support import leaks
from tests.support.bundle import Bundle
from tests.support.shim_process import ShimManager, alive
from tests.support.shim_task import Task

pytestmark = pytest.mark.root

SH, BUSYBOX = "/bin/sh", "/bin/busybox"
ZERO = os.makedev(1, 5)
CAPABILITY_SETS = ("bounding", "effective", "permitted")
CAP_MKNOD = 27


def container(manager: ShimManager, **fields: Any) -> Bundle:
    """A Wasm container whose group lets every device be used: nothing but mounts are in the way."""
    bundle = attacker(manager, (), **fields)
    bundle.spec["process"]["args"] = ["/loop.wasm"]
    bundle.spec["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]
    bundle.write_spec()
    return bundle


def shell(task: Task, script: str, **process: Any) -> tuple[int, str]:
    """What a script says on both its outputs, and how it ended."""
    script = f"exec 2>&1; PATH=/bin; {script}"
    status, out, _ = task.run([SH, "-c", script], **process)
    return status, out.decode()


def node_at(path: Path) -> None:
    os.mknod(path, 0o666 | stat.S_IFCHR, ZERO)
    path.chmod(0o666)
    with path.open("rb") as device:
        assert device.read(1) == b"\0"


@pytest.fixture
def mount_below(manager: ShimManager, volume: Path) -> Iterator[Path]:
    """A volume with a file system of the node mounted in it."""
    below = volume / "below"
    below.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(below)], check=True)
    yield below
    manager.close()
    subprocess.run(["umount", str(below)], check=True)


def test_companion_opens_no_device_of_image_or_volume(
    manager: ShimManager, volume: Path, mount_below: Path
) -> None:
    bundle = container(manager, mounts=[bind(volume, "/volume", "dev")])
    for place in (image_of(manager, bundle), volume, mount_below):
        node_at(place / "zero")
    task = manager.running(bundle)
    for path in ("/zero", "/volume/zero", "/volume/below/zero"):
        status, said = shell(task, f"busybox test -c {path} && busybox head -c 1 {path}")
        assert (status, "Permission denied" in said) == (1, True), (path, said)
    # Those that the OCI runtime makes are there.
    assert shell(task, "busybox head -c 1 /dev/zero | busybox wc -c") == (0, "1\n")


def test_companion_opens_no_device_of_a_volume_at_dev(manager: ShimManager, volume: Path) -> None:
    bundle = container(manager)
    mounts = [mount for mount in bundle.spec["mounts"] if mount["destination"] != "/dev"]
    bundle.spec["mounts"] = [*mounts, bind(volume, "/dev")]
    bundle.write_spec()
    node_at(volume / "disk")
    # Which the OCI runtime looks at.
    (volume / "null").touch()
    task = manager.running(bundle)
    status, said = shell(task, "busybox head -c 1 /dev/disk")
    assert (status, "Permission denied" in said) == (1, True), said


def test_companion_makes_no_device(manager: ShimManager) -> None:
    """Whatever capabilities it is executed with."""
    task = manager.running(container(manager))
    capabilities = {name: ["CAP_MKNOD", "CAP_CHOWN"] for name in CAPABILITY_SETS}
    script = "busybox grep Cap /proc/self/status; busybox mknod /tmp/zero c 1 5"
    status, said = shell(task, script, capabilities=capabilities)
    assert (status, "Operation not permitted" in said) == (1, True), said
    sets = [int(line.split()[1], 16) for line in said.splitlines() if line.startswith("Cap")]
    assert len(sets) == 5
    assert not any(one >> CAP_MKNOD & 1 for one in sets)
    # CAP_CHOWN is there: it is not simply without any.
    assert any(one & 1 for one in sets)


def test_companion_sees_and_reaches_no_process_but_its_own(manager: ShimManager) -> None:
    task = manager.running(container(manager))
    init, shim = task.state().pid, task.connect().shim_pid
    capabilities = {name: ["CAP_KILL", "CAP_SYS_PTRACE"] for name in CAPABILITY_SETS}
    script = "cd /proc; echo [0-9]*; for pid in {0}; do busybox kill -9 $pid; done; kill -9 -1"
    pids = f"{os.getpid()} {init} {shim}"
    _, said = shell(task, script.format(pids), capabilities=capabilities)
    listed = said.splitlines()[0].split()
    assert "1" in listed
    assert all(int(pid) < 100 for pid in listed), listed
    for pid in pids.split():
        assert f"can't kill pid {pid}" in said
    assert all(alive(pid) for pid in (init, shim))
    assert shell(task, "echo still") == (0, "still\n")


def test_companion_has_the_container_s_namespaces_and_its_own_pids(manager: ShimManager) -> None:
    task = manager.running(container(manager))
    pid, init = task.exec([BUSYBOX, "sleep", "1000"]).start().pid, task.state().pid

    def of(one: int, name: str) -> str:
        return os.readlink(f"/proc/{one}/ns/{name}")

    for name in ("net", "ipc", "uts"):
        assert of(pid, name) == of(init, name)
        assert of(pid, name) != of(os.getpid(), name)
    for name in ("pid", "mnt"):
        assert of(pid, name) not in {of(init, name), of(os.getpid(), name)}
    # The OCI runtime's own are closed as the program is executed, a moment after the start.
    assert leaks.wait_until(lambda: sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"])


def test_companion_has_the_container_s_system_call_filter(manager: ShimManager) -> None:
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}
    bundle = container(manager)
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    bundle.write_spec()
    task = manager.running(bundle)
    _, said = shell(task, "busybox mkdir /tmp/x; busybox grep Seccomp: /proc/self/status")
    assert "No space left on device" in said
    assert "Seccomp:\t2" in said
    other = manager.running(container(manager))
    assert shell(other, "busybox mkdir /tmp/x") == (0, "")


def test_companion_cannot_change_a_readonly_root(manager: ShimManager) -> None:
    task = manager.running(container(manager, root={"path": "rootfs", "readonly": True}))
    status, said = shell(task, "echo x > /etc/image")
    assert (status, "Read-only file system" in said) == (1, True), said


def test_companion_cannot_mount_or_leave_its_root(manager: ShimManager, node: Path) -> None:
    task = manager.running(container(manager))
    for script in (
        "busybox mount -t proc proc /proc",
        "busybox mount -o remount,dev /",
        "busybox umount /proc",
        "busybox unshare -m true",
        "busybox chroot / true",
        f"busybox cat {node}/secret",
        f"busybox cat /proc/1/root{node}/secret",
        "busybox cat /proc/1/cwd/../../secret",
        "echo 1 > /proc/sys/kernel/sysrq",
        "echo x > /proc/sysrq-trigger",
    ):
        status, said = shell(task, script)
        assert status != 0, (script, said)


def test_companion_is_bounded_by_the_container_s_memory(manager: ShimManager) -> None:
    bundle = container(manager)
    bundle.spec["linux"]["resources"]["memory"] = {"limit": 96 << 20}
    bundle.write_spec()
    task = manager.running(bundle)
    hog = task.exec([SH, "-c", "exec /bin/busybox tail -c 1000000000 /dev/zero"])
    hog.start()
    assert hog.wait(30).exit_status == 137
    # Which of the group the kernel takes is its own affair; that the hog dies is ours.
    assert leaks.wait_until(lambda: "/tasks/oom" in manager.events.topics(task.id))
    assert alive(task.connect().shim_pid)


def test_companion_stands_still_while_its_container_does(manager: ShimManager) -> None:
    task = manager.running(container(manager))
    pid = task.exec([SH, "-c", "while :; do :; done"]).start().pid

    def used() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    assert leaks.wait_until(lambda: used() > 2)
    task.pause()
    before = used()
    signal.sigtimedwait([], 0.3)
    assert used() == before
    task.resume()
    assert leaks.wait_until(lambda: used() > before)


def of_companions(manager: ShimManager, task: Task) -> list[str]:
    """Whatever still has the name of one: the OCI runtime's states, bundles, groups."""
    mark = f"{task.id}.exec-"
    run_dir = Path(manager.shim.environment["TANDEM_SOCKET"]).parent
    found = [*run_dir.rglob(f"{mark}*"), *task.bundle.path.glob(f"{mark}*")]
    return [*map(str, found), *(name for name in leaks.cgroups(task.id) if ".exec-" in name)]


@pytest.mark.parametrize("ends", [True, False])
def test_companion_is_gone_with_its_container(manager: ShimManager, ends: bool) -> None:
    """Also where the container is deleted in the moment in which the program has ended."""
    for _ in range(3):
        task = manager.running(container(manager))
        program = task.exec([SH, "-c", "exit 3" if ends else "sleep 1000"])
        pid = program.start().pid
        if ends:
            assert program.wait().exit_status == 3
        task.kill(signal.SIGKILL)
        task.wait()
        task.delete()
        assert of_companions(manager, task) == []
        assert not alive(pid)
        manager.end(task)


def test_companion_is_gone_after_its_shim_was_killed(manager: ShimManager) -> None:
    task = manager.running(container(manager))
    pids = [task.exec([BUSYBOX, "sleep", "1000"]).start().pid for _ in range(2)]
    states = len(of_companions(manager, task))
    assert states >= 2 * len(pids)
    manager.kill_shim(task)
    manager.delete_leftovers(task.bundle)
    assert leaks.wait_until(lambda: not any(map(alive, pids)))
    # containerd removes the bundle; all else is gone.
    bundle = str(task.bundle.path)
    assert [path for path in of_companions(manager, task) if not path.startswith(bundle)] == []
    assert leaks.cgroups(task.id) == set()
