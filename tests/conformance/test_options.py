"""Runtime options: which OCI runtime is called, by what arguments, and what else they change."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import options_pb2, runc_options_pb2
from tests.support.cgroups import IS_V2
from tests.support.leaks import cgroups, wait_until
from tests.support.shim_process import NAMESPACE, ShimManager, alive, mounted_below
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

# crun does not start where cgroup v1 hierarchies stand beside a v2 one that has controllers.
CRUN = """if mountpoint -q /sys/fs/cgroup/unified; then
  exec unshare --mount sh -c 'umount /sys/fs/cgroup/unified; exec crun "$@"' sh "$@"
fi
exec crun "$@"
"""
SLEEP = ["/bin/sleep", "1000"]


def options(**fields: Any) -> AnyMessage:
    value = runc_options_pb2.Options(**fields).SerializeToString()
    return AnyMessage(type_url="containerd.runc.v1.Options", value=value)


class Wrapper:
    """A runtime that writes down how it is called, and then is runc or crun."""

    def __init__(self, directory: Path, command: str = 'exec runc "$@"') -> None:
        self.log = directory / "calls"
        self.path = directory / "my-runtime"
        self.path.write_text(f'#!/bin/sh\necho "$@" >> {self.log}\n{command}\n')
        self.path.chmod(0o755)

    def calls(self, verb: str) -> list[list[str]]:
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [words for words in lines if verb in words]


@pytest.fixture
def wrapper(manager: ShimManager) -> Wrapper:
    return Wrapper(manager.directory)


def running(manager: ShimManager, given: AnyMessage, args: list[str] | None = None) -> Task:
    task = manager.start_task(manager.bundle(args or SLEEP))
    task.create(options=given)
    task.start()
    return task


def test_binary_by_path_is_called_for_everything(manager: ShimManager, wrapper: Wrapper) -> None:
    task = running(manager, options(binary_name=str(wrapper.path)))
    assert task.run(["/bin/true"])[0] == 0
    task.pause()
    task.resume()
    task.update({"pids": {"limit": 50}})
    task.kill(signal.SIGKILL)
    assert task.wait().exit_status == 137
    task.delete()
    for verb in ("create", "start", "exec", "delete"):
        assert wrapper.calls(verb), verb


def test_binary_outlives_its_shim(manager: ShimManager, wrapper: Wrapper) -> None:
    task = running(manager, options(binary_name=str(wrapper.path)))
    pid = task.state().pid
    manager.kill_shim(task)
    manager.delete_leftovers(task.bundle)
    assert wait_until(lambda: not alive(pid))
    assert wrapper.calls("delete")
    assert cgroups(task.id) == set()


def test_crun_in_runcs_place(manager: ShimManager) -> None:
    crun = Wrapper(manager.directory, CRUN)
    task = running(manager, options(binary_name=str(crun.path)))
    assert crun.calls("create")
    assert task.run(["/bin/sh", "-c", "echo out; exit 7"]) == (7, b"out\n", b"")
    with pytest.raises(RpcError):
        task.run(["/bin/missing"])
    process = task.exec(["/bin/sleep", "1000"])
    process.start()
    process.kill(signal.SIGTERM)
    assert process.wait().exit_status == 143
    task.kill(signal.SIGKILL)
    assert task.wait().exit_status == 137
    task.delete()


def test_missing_binary_fails_create_and_is_named(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(SLEEP))
    with pytest.raises(RpcError, match="no-such-runtime"):
        task.create(options=options(binary_name="no-such-runtime"))
    assert mounted_below(manager.directory) == []
    task.create()


def test_root_is_where_the_runtime_keeps_its_state(manager: ShimManager, wrapper: Wrapper) -> None:
    root = manager.directory / "root"
    task = running(manager, options(binary_name=str(wrapper.path), root=str(root)))
    assert (root / NAMESPACE / task.id / "state.json").exists()
    task.kill(signal.SIGKILL)
    task.wait()
    task.delete()
    assert not (root / NAMESPACE / task.id).exists()


@pytest.mark.parametrize(
    ("given", "flag"), [("no_pivot_root", "--no-pivot"), ("no_new_keyring", "--no-new-keyring")]
)
def test_flags_of_the_runtime(
    manager: ShimManager, wrapper: Wrapper, given: str, flag: str
) -> None:
    task = running(manager, options(binary_name=str(wrapper.path), **{given: True}))
    assert all(flag in call for call in wrapper.calls("create"))
    plain = running(manager, options(binary_name=str(wrapper.path)))
    assert flag not in wrapper.calls("create")[-1]
    assert plain.state().status == task.state().status


def test_systemd_where_there_is_none_fails_create(manager: ShimManager) -> None:
    assert not Path("/run/systemd/system").exists()
    task = manager.start_task(manager.bundle(SLEEP))
    with pytest.raises(RpcError, match="systemd"):
        task.create(options=options(systemd_cgroup=True))
    assert mounted_below(manager.directory) == []
    task.create()


def test_owner_of_the_streams(manager: ShimManager) -> None:
    script = "for fd in 0 1 2; do stat -L -c '%u %g' /proc/self/fd/$fd; done; sleep 1000"
    bundle = manager.bundle(["/bin/sh", "-c", script], stdin=True)
    # runc gives the streams to the process's user, and leaves their group alone.
    bundle.spec["process"]["user"] = {"uid": 1234, "gid": 1}
    bundle.write_spec()
    task = manager.start_task(bundle)
    task.create(options=options(io_uid=1234, io_gid=4321))
    task.start()
    bundle.output.read_until(b"1234 4321\n" * 3)
    outputs = "for fd in 1 2; do stat -L -c '%u %g' /proc/self/fd/$fd; done"
    assert task.run(["/bin/sh", "-c", outputs])[1] == b"1234 4321\n" * 2


def test_streams_can_be_opened_again_by_their_owner(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/sh", "-c", "echo again > /proc/self/fd/1"])
    bundle.spec["process"]["user"] = {"uid": 1234, "gid": 4321}
    bundle.write_spec()
    task = manager.start_task(bundle)
    task.create(options=options(io_uid=1234, io_gid=4321))
    task.start()
    assert bundle.output.read_to_end() == b"again\n"


@pytest.fixture
def shim_cgroup(manager: ShimManager) -> Iterator[str]:
    """A cgroup in every hierarchy; it is empty once the test's shims have ended."""
    name = f"{manager.new_id()}-shim"
    root = Path("/sys/fs/cgroup")
    hierarchies = [root] if IS_V2 else [path for path in root.iterdir() if path.is_dir()]
    directories = [path / name for path in hierarchies]
    for directory in directories:
        directory.mkdir()
        if directory.parent.name == "cpuset":
            for file in ("cpuset.cpus", "cpuset.mems"):
                (directory / file).write_text((directory.parent / file).read_text())
    yield f"/{name}"
    for task in manager.tasks:
        manager.finish(task)
    manager.tasks.clear()
    files = [directory / "cgroup.procs" for directory in directories]
    assert wait_until(lambda: not any(file.read_text() for file in files))
    for directory in directories:
        directory.rmdir()


def test_shim_is_put_into_its_cgroup(manager: ShimManager, shim_cgroup: str) -> None:
    bundle = manager.bundle(SLEEP)
    given = options(shim_cgroup=shim_cgroup)
    task = manager.connect(bundle, manager.start_shim(bundle, given))
    lines = Path(f"/proc/{task.connect().shim_pid}/cgroup").read_text().splitlines()
    memory = next(line for line in lines if IS_V2 or ":memory:" in line)
    assert memory.endswith(f":{shim_cgroup}")
    task.create(options=given)
    task.start()
    container = Path(f"/proc/{task.state().pid}/cgroup").read_text()
    assert shim_cgroup not in container


def test_generic_options_hold_runcs_keys(manager: ShimManager, wrapper: Wrapper) -> None:
    root = manager.directory / "root"
    body = f'BinaryName = "{wrapper.path}"\nRoot = "{root}"\nNoPivotRoot = true\n'
    value = options_pb2.Options(config_body=body.encode()).SerializeToString()
    task = running(manager, AnyMessage(type_url="runtimeoptions.v1.Options", value=value))
    assert all("--no-pivot" in call for call in wrapper.calls("create"))
    assert (root / NAMESPACE / task.id).exists()
