"""Containers as Docker and nerdctl make them: no pod, hooks, loggers; user namespaces."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_logs import Logger
from tests.conformance.workloads import Workload
from tests.support.bundle import NAMESPACES, Bundle
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimManager, mounted_below
from tests.support.ttrpc_client import RpcError

SLEEP = ["/bin/sleep", "1000"]
GROUP = "io.containerd.runc.v2.group"
FIRST_ID = 100_000


def hook(path: Path, then: str = "") -> dict[str, Any]:
    """A hook that writes the state which it is given."""
    return {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {path}; {then}"]}


def with_hooks(manager: ShimManager, args: list[str], **hooks: dict[str, Any]) -> Bundle:
    bundle = manager.bundle(args)
    bundle.spec["hooks"] = {name: [one] for name, one in hooks.items()}
    bundle.write_spec()
    return bundle


def test_hooks_are_given_the_init(manager: ShimManager, workload: Workload) -> None:
    files = {name: manager.directory / name for name in ("prestart", "createRuntime", "poststart")}
    bundle = with_hooks(
        manager, workload.sleep(), **{name: hook(path) for name, path in files.items()}
    )
    task = manager.start_task(bundle)
    pid = task.create().pid
    for name in ("prestart", "createRuntime"):
        state = json.loads(files[name].read_text())
        assert (state["id"], state["pid"], state["bundle"]) == (task.id, pid, str(bundle.path))
    assert task.connect().task_pid == pid
    task.start()
    assert wait_until(files["poststart"].exists)


def test_hook_sees_the_network_namespace_of_the_init(
    manager: ShimManager, workload: Workload
) -> None:
    path = manager.directory / "netns"
    script = f"pid=$(grep -o '\"pid\":[0-9]*' | cut -d: -f2); readlink /proc/$pid/ns/net > {path}"
    bundle = with_hooks(
        manager, workload.sleep(), createRuntime={"path": "/bin/sh", "args": ["sh", "-c", script]}
    )
    bundle.spec["hooks"]["createRuntime"][0]["env"] = ["PATH=/usr/bin:/bin"]
    bundle.write_spec()
    task = manager.created(bundle)
    pid = task.connect().task_pid
    assert path.read_text().strip() == str(Path(f"/proc/{pid}/ns/net").readlink())


def test_poststop_hook_runs_at_the_end(manager: ShimManager, workload: Workload) -> None:
    path = manager.directory / "poststop"
    task = manager.running(with_hooks(manager, workload.sleep(), poststop=hook(path)))
    task.kill(signal.SIGKILL)
    task.wait()
    task.delete()
    assert json.loads(path.read_text())["id"] == task.id


def test_poststop_hook_runs_after_the_shims_death(manager: ShimManager, workload: Workload) -> None:
    path = manager.directory / "poststop"
    task = manager.running(with_hooks(manager, workload.sleep(), poststop=hook(path)))
    manager.kill_shim(task)
    manager.delete_leftovers(task.bundle)
    assert json.loads(path.read_text())["id"] == task.id


def test_hook_that_fails_fails_create(manager: ShimManager, workload: Workload) -> None:
    path = manager.directory / "ran"
    bundle = with_hooks(manager, workload.sleep(), createRuntime=hook(path, then="exit 3"))
    task = manager.start_task(bundle)
    with pytest.raises(RpcError, match="hook"):
        task.create()
    assert path.exists()
    assert mounted_below(manager.directory) == []
    del bundle.spec["hooks"]
    bundle.write_spec()
    task.create()


def test_wasm_hook_inside_the_container_is_refused(manager: ShimManager) -> None:
    path = manager.directory / "ran"
    bundle = with_hooks(manager, ["/sleep.wasm"], startContainer=hook(path))
    with pytest.raises(RpcError, match="startContainer"):
        manager.start_task(bundle).create()
    assert not path.exists()


def test_group_by_annotation_shares_a_shim(manager: ShimManager) -> None:
    tasks = []
    for _ in range(3):
        bundle = manager.bundle(SLEEP)
        bundle.spec["annotations"] = {GROUP: f"{manager.directory.name}-group"}
        bundle.write_spec()
        tasks.append(manager.running(bundle))
    assert len({task.connect().shim_pid for task in tasks}) == 1
    alone = manager.running(manager.bundle(SLEEP))
    assert alone.connect().shim_pid != tasks[0].connect().shim_pid
    tasks[0].kill(signal.SIGKILL)
    assert tasks[0].wait().exit_status == 137
    assert tasks[1].run(["/bin/true"])[0] == 0


def test_whole_life_as_nerdctl_runs_it(manager: ShimManager) -> None:
    logger = Logger(manager.directory / "logger")
    stopped = manager.directory / "stopped"
    script = "echo begun; trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done"
    bundle = with_hooks(
        manager,
        ["/bin/sh", "-c", script],
        createRuntime=hook(manager.directory / "made"),
        poststop=hook(stopped),
    )
    task = manager.start_task(bundle)
    task.create(stdin="", stdout=logger.uri, stderr=logger.uri)
    task.start()
    assert logger.wrote("out", b"begun\n")
    shell = task.exec(["/bin/sh"], stdin=True, terminal=True)
    shell.start()
    shell.input.open()
    shell.resize(100, 50)
    shell.input.write(b"stty size; exit 9\n")
    shell.stdout.read_until(b"50 100\r\n")
    assert shell.wait().exit_status == 9
    shell.delete()
    task.kill(signal.SIGTERM)
    assert task.wait().exit_status == 0
    assert task.delete().exit_status == 0
    assert logger.wrote("out", b"begun\nbye\n")
    assert stopped.exists()


def in_user_namespace(manager: ShimManager, args: list[str]) -> Bundle:
    """A bundle such as CRI makes for hostUsers: false; every directory to it can be passed."""
    bundle = manager.bundle(args, stdin=True, namespaces=(*NAMESPACES, "user"))
    mapping = [{"containerID": 0, "hostID": FIRST_ID, "size": 65_536}]
    bundle.spec["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    bundle.write_spec()
    for path in (manager.directory, bundle.path.parent, bundle.path):
        path.chmod(0o711)
    return bundle


def test_user_namespace_maps_the_ids(manager: ShimManager) -> None:
    bundle = in_user_namespace(manager, ["/bin/sh", "-c", "id -u; cat /proc/self/uid_map; cat"])
    task = manager.running(bundle)
    bundle.output.read_until(b"65536")
    assert bundle.output.data.split() == [b"0", b"0", b"100000", b"65536"]
    status = Path(f"/proc/{task.state().pid}/status").read_text()
    assert f"Uid:\t{FIRST_ID}\t" in status
    assert task.run(["/bin/id", "-u"]) == (0, b"0\n", b"")
    process = task.exec(["/bin/sh", "-c", "tty"], terminal=True)
    assert process.run()[:2] == (0, b"/dev/pts/0\r\n")
    bundle.input.open()
    bundle.input.write(b"typed")
    bundle.output.read_until(b"typed")
    task.pause()
    task.resume()
    task.kill(signal.SIGKILL)
    assert task.wait().exit_status == 137
    task.delete()
