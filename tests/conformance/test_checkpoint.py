"""Checkpoint and restore: what the OCI runtime is told, and what containerd hears of it.

CRIU itself does not run on every kernel and machine, so that the runtime here is runc with these
two verbs played: a checkpoint is a file, and to restore is to create and to start.
"""

import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import events_pb2, runc_options_pb2, task_pb2
from shim.ttrpc.codes import Code
from tests.conformance.test_options import SLEEP, options
from tests.support.failing import fails
from tests.support.shim_process import ShimBinary, ShimManager
from tests.support.shim_task import Task
from tests.support.ttrpc_client import RpcError

RUNTIME = """#!/usr/bin/python3
import os, subprocess, sys
words = sys.argv[1:]
print(*words, file=open("LOG", "a"))
def given(flag):
    return words[words.index(flag) + 1]
if "checkpoint" in words:
    before, container = words[: words.index("checkpoint")], words[-1]
    os.makedirs(given("--image-path"), exist_ok=True)
    open(given("--image-path") + "/image", "w").close()
    if "--leave-running" not in words:
        subprocess.run(["runc", *before, "kill", container, "KILL"], check=True)
elif "restore" in words:
    before, container = words[: words.index("restore")], words[-1]
    os.stat(given("--image-path") + "/image")
    flags = ["--bundle", given("--bundle"), "--pid-file", given("--pid-file")]
    subprocess.run(["runc", *before, "create", *flags, container], check=True)
    subprocess.run(["runc", *before, "start", container], check=True)
else:
    os.execvp("runc", ["runc", *words])
"""


@pytest.fixture
def runtime(manager: ShimManager) -> Path:
    """The runtime's path; a `criu` is there for whoever looks for it first."""
    folder = manager.directory / "bin"
    folder.mkdir()
    runtime = folder / "my-runtime"
    runtime.write_text(RUNTIME.replace("LOG", str(manager.directory / "calls")))
    for path in (runtime, folder / "criu"):
        path.touch()
        path.chmod(0o755)
    path_variable = f"{folder}:{manager.environment()['PATH']}"
    environment = {**manager.shim.environment, "PATH": path_variable}
    manager.shim = replace(manager.shim, environment=environment)
    return runtime


def running(manager: ShimManager, runtime: Path) -> Task:
    task = manager.start_task(manager.bundle(SLEEP))
    task.create(options=options(binary_name=str(runtime)))
    task.start()
    return task


def calls(manager: ShimManager, verb: str) -> list[list[str]]:
    lines = (manager.directory / "calls").read_text().splitlines()
    return [line.split() for line in lines if verb in line.split()]


def message(options: runc_options_pb2.CheckpointOptions) -> AnyMessage:
    kind = "containerd.runc.v1.CheckpointOptions"
    return AnyMessage(type_url=kind, value=options.SerializeToString())


def test_checkpoint_leaves_the_task_running(manager: ShimManager, runtime: Path) -> None:
    task = running(manager, runtime)
    image = manager.directory / "image"
    task.checkpoint(str(image))
    assert (image / "image").exists()
    assert task.state().status == task_pb2.RUNNING


def test_checkpoint_is_told(manager: ShimManager, runtime: Path) -> None:
    task = running(manager, runtime)
    image = manager.directory / "image"
    task.checkpoint(str(image))
    told = manager.events.wait_for(task.id, "/tasks/checkpointed").message
    assert told == events_pb2.TaskCheckpointed(container_id=task.id, checkpoint=str(image))


def test_checkpoint_passes_its_options_on(manager: ShimManager, runtime: Path) -> None:
    task = running(manager, runtime)
    given = runc_options_pb2.CheckpointOptions(
        open_tcp=True, external_unix_sockets=True, terminal=True, file_locks=True
    )
    task.checkpoint(str(manager.directory / "image"), message(given))
    (call,) = calls(manager, "checkpoint")
    flags = {"--tcp-established", "--ext-unix-sk", "--shell-job", "--file-locks"}
    assert flags | {"--leave-running"} <= set(call)


def test_checkpoint_and_exit_then_restore(manager: ShimManager, runtime: Path) -> None:
    task = running(manager, runtime)
    image = manager.directory / "image"
    task.checkpoint(str(image), message(runc_options_pb2.CheckpointOptions(exit=True)))
    assert task.wait().exit_status == 137
    task.delete()

    bundle = manager.bundle(SLEEP)
    again = manager.start_task(bundle)
    again.create(options=options(binary_name=str(runtime)), checkpoint=str(image))
    assert again.state().status == task_pb2.CREATED
    again.start()
    assert again.state().status == task_pb2.RUNNING
    assert again.state().pid in again.pids()
    assert again.connect().task_pid == again.state().pid
    assert again.run(["/bin/true"])[0] == 0
    (call,) = calls(manager, "restore")
    assert call[call.index("--image-path") + 1] == str(image)
    again.kill(signal.SIGKILL)
    assert again.wait().exit_status == 137
    again.delete()
    manager.events.wait_for(again.id, "/tasks/delete")
    topics = [topic for topic in manager.events.topics(again.id) if "exec" not in topic]
    assert [topics[0], *topics[-2:]] == ["/tasks/create", "/tasks/exit", "/tasks/delete"]
    created = manager.events.wait_for(again.id, "/tasks/create").message
    assert isinstance(created, events_pb2.TaskCreate)
    assert created.checkpoint == str(image)


def test_restore_of_what_is_not_there_fails(manager: ShimManager, runtime: Path) -> None:
    task = manager.start_task(manager.bundle(SLEEP))
    given = options(binary_name=str(runtime))
    with pytest.raises(RpcError):
        task.create(options=given, checkpoint=str(manager.directory / "missing"))
        task.start()
    task.kill(signal.SIGKILL)
    task.wait()
    task.delete()
    assert task.connect().shim_pid > 0


@pytest.fixture
def without_criu(shim: ShimBinary, manager: ShimManager) -> ShimManager:
    """A manager whose shims find runc, and no criu."""
    folder = manager.directory / "only-runc"
    folder.mkdir()
    found = shutil.which("runc")
    assert found is not None
    (folder / "runc").symlink_to(found)
    manager.shim = replace(shim, environment={**shim.environment, "PATH": str(folder)})
    return manager


def test_checkpoint_without_criu_fails_and_harms_nothing(without_criu: ShimManager) -> None:
    task = without_criu.running(without_criu.bundle(SLEEP))
    with pytest.raises(RpcError, match="criu"):
        task.checkpoint(str(without_criu.directory / "image"))
    assert task.state().status == task_pb2.RUNNING
    assert "/tasks/checkpointed" not in without_criu.events.topics(task.id)


def test_checkpoint_without_criu_is_unimplemented(without_criu: ShimManager) -> None:
    task = without_criu.running(without_criu.bundle(SLEEP))
    with fails(Code.UNIMPLEMENTED):
        task.checkpoint(str(without_criu.directory / "image"))
    restored = without_criu.start_task(without_criu.bundle(SLEEP))
    with fails(Code.UNIMPLEMENTED):
        restored.create(checkpoint=str(without_criu.directory / "image"))


def test_wasm_checkpoint_is_unimplemented(manager: ShimManager) -> None:
    task = manager.running(manager.bundle(["/sleep.wasm"]))
    with fails(Code.UNIMPLEMENTED):
        task.checkpoint(str(manager.directory / "image"))
    assert task.state().status == task_pb2.RUNNING
