"""The task service over gRPC: a pod shim and its gateway, started as containerd 1.7 starts them.

This process never speaks gRPC itself (see `tests.support.grpc_client`), since it forks.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty

from shim import sockets
from shim.api import task_pb2
from tests.conformance.workloads import WORKLOADS, Workload, make_image
from tests.integration.installed import BIN, LAUNCHERS
from tests.support import leaks
from tests.support.bundle import Bundle
from tests.support.descriptors import open_files
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimBinary, ShimManager, alive, mounted_below
from tests.support.shim_task import Task
from tests.support.tandem_home import TandemHome
from tests.support.ttrpc_client import ClosedError, RpcError

pytestmark = pytest.mark.root

TASK_V3 = "containerd.task.v3.Task"
VERSION_LINE = "containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6"
ROOT = Path(__file__).parents[2]


class Node(ShimManager):
    """Plays containerd 1.7; `containerd` is what it says its binary is."""

    def __init__(self, shim: ShimBinary, directory: Path, rootfs: Path) -> None:
        super().__init__(shim, directory, rootfs)
        self.containerd = directory / "containerd"
        self.says(VERSION_LINE)

    def says(self, line: str) -> None:
        self.containerd.write_text(f"#!/bin/sh\necho '{line}'\n")
        self.containerd.chmod(0o755)

    def arguments(self, container_id: str) -> list[str]:
        words = super().arguments(container_id)
        words[words.index("-publish-binary") + 1] = str(self.containerd)
        return words

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "MAX_SHIM_VERSION": "2"}

    def dial(self, bundle: Bundle) -> Task:
        answer = self.run_start(bundle)
        assert answer.status == 0, answer.text
        reply = json.loads(answer.text)
        assert (bundle.path / "address").read_text() == answer.text
        assert (reply["version"], reply["protocol"]) == (2, "grpc")
        return self.connect(bundle, reply["address"])

    def run_task(self, bundle: Bundle) -> Task:
        task = self.dial(bundle)
        task.create()
        task.start()
        return task


def task_socket(task: Task) -> Path:
    return Path(task.address).with_suffix("")


def pid_behind(path: Path) -> int:
    """Who listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))
        return sockets.peer(probe)[0]


def gone(*pids: int) -> bool:
    return not any(alive(pid) for pid in pids)


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tdg", dir="/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def rootfs(directory: Path) -> Path:
    return make_image(directory / "image")


@pytest.fixture(scope="module")
def home(directory: Path) -> Iterator[TandemHome]:
    home = TandemHome(directory / "t", transport="grpc")
    leaks.watch(home.run_dir / "s")
    leaks.watch(home.run_dir / "runc")
    leaks.allow_reserve(home.socket)
    # Brings the daemon up: it stays for all tests.
    subprocess.run([BIN / LAUNCHERS[0], "-v"], env={**os.environ, **home.environment}, check=True)
    yield home
    home.stop_daemon()


@pytest.fixture
def node(home: TandemHome, rootfs: Path) -> Iterator[Node]:
    directory = Path(tempfile.mkdtemp(prefix=f"{leaks.TOKEN}-", dir="/tmp"))
    binary = ShimBinary(BIN / LAUNCHERS[0], home.environment)
    node = Node(binary, directory, rootfs)
    yield node
    node.close()
    shutil.rmtree(directory)


@pytest.fixture(params=WORKLOADS)
def workload(request: pytest.FixtureRequest) -> Workload:
    return WORKLOADS[request.param]


def test_container_lives_its_whole_life(node: Node, workload: Workload) -> None:
    task = node.dial(node.bundle(workload.exit(7)))
    gateway, shim = pid_behind(Path(task.address)), pid_behind(task_socket(task))
    assert task.create().pid > 1
    waiting = task.begin_wait()
    assert task.start().pid > 1
    assert task.finish_wait(waiting).exit_status == 7
    assert task.delete().exit_status == 7
    assert Path(task.address).stat().st_mode & 0o777 == 0o600
    task.call("Shutdown", task_pb2.ShutdownRequest(id=task.id), Empty)
    with pytest.raises(ClosedError):
        task.client.finish(task.begin_wait(), task_pb2.WaitResponse)
    assert wait_until(lambda: gone(gateway, shim))
    assert not Path(task.address).exists()
    assert not task_socket(task).exists()


def test_only_the_gateway_has_grpc_and_threads(node: Node) -> None:
    task = node.run_task(node.bundle(["/sleep.wasm"]))
    gateway, shim = pid_behind(Path(task.address)), pid_behind(task_socket(task))
    for pid, has_grpc in ((gateway, True), (shim, False), (task.state().pid, False)):
        assert ("cygrpc" in Path(f"/proc/{pid}/maps").read_text()) == has_grpc
    assert len(os.listdir(f"/proc/{shim}/task")) == 1 < len(os.listdir(f"/proc/{gateway}/task"))
    assert os.readlink(f"/proc/{gateway}/cwd") == "/"
    assert os.getsid(gateway) == gateway
    assert [
        path for path in open_files(gateway) if path.startswith(("pipe:", "/tmp", "/run"))
    ] == []


def test_both_services_answer_and_errors_keep_code_and_text(node: Node) -> None:
    task = node.run_task(node.bundle(["/sleep.wasm"]))
    for service in ("containerd.task.v2.Task", TASK_V3):
        request = task_pb2.StateRequest(id=task.id)
        state = task.client.call(service, "State", request, task_pb2.StateResponse)
        assert state.id == task.id
        with pytest.raises(RpcError, match="container none is not here") as caught:
            request = task_pb2.StateRequest(id="none")
            task.client.call(service, "State", request, task_pb2.StateResponse)
        assert caught.value.code == 5
    calls: list[tuple[Callable[[], object], int]] = [
        (task.create, 6),
        (task.start, 9),
        (lambda: task.client.call(TASK_V3, "Frobnicate", Empty(), Empty), 12),
        (lambda: task.client.call("no.such.Service", "Wait", Empty(), Empty), 12),
    ]
    for call, code in calls:
        with pytest.raises(RpcError) as caught:
            call()
        assert caught.value.code == code


def test_hundred_waits_are_open_at_once_and_calls_pass_them(node: Node) -> None:
    task = node.run_task(node.bundle(["/sleep.wasm"]))
    waiting = [task.begin_wait() for _ in range(100)]
    assert task.state().pid > 1
    assert not any(task.client.answered(number) for number in waiting)
    task.kill(signal.SIGKILL)
    statuses = {task.finish_wait(number).exit_status for number in waiting}
    assert statuses == {137}


def test_call_whose_time_is_up_is_over_and_costs_no_other(node: Node) -> None:
    task = node.run_task(node.bundle(["/sleep.wasm"]))
    request = task_pb2.WaitRequest(id=task.id)
    for _ in range(20):
        number = task.client.begin(TASK_V3, "Wait", request, timeout_ns=10_000_000)
        with pytest.raises(RpcError) as caught:
            task.client.finish(number, task_pb2.WaitResponse)
        assert caught.value.code == 4
    assert task.state().pid > 1


def test_pod_of_two_kinds_has_one_gateway(node: Node) -> None:
    group = node.new_id()
    linux = node.run_task(node.bundle(["/bin/sleep", "1000"], group=group))
    wasm = node.run_task(node.bundle(["/sleep.wasm"], group=group))
    assert linux.address == wasm.address
    linux.kill(signal.SIGKILL)
    linux.wait()
    node.end(linux)
    assert wasm.state().pid > 1
    assert Path(wasm.address).exists()


def test_stranger_learns_everything_by_reflection_and_health(node: Node) -> None:
    task = node.dial(node.bundle(["/sleep.wasm"]))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.grpc_explore", task.address],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["services"] == [
        "containerd.task.v2.Task",
        TASK_V3,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert found["health"] == {
        "": "SERVING",
        "containerd.task.v2.Task": "SERVING",
        TASK_V3: "SERVING",
        "no.such.Service": "NOT_FOUND",
    }
    for service in ("containerd.task.v2.Task", TASK_V3):
        fields = [field.name for field in task_pb2.CreateTaskRequest.DESCRIPTOR.fields]
        assert found["requests"][f"{service}/Create"] == fields
    assert len(found["requests"]) == 2 * 17


@pytest.mark.parametrize("victims", [("gateway",), ("shim",), ("gateway", "shim")])
def test_killed_half_of_a_pod_leaves_nothing_behind_delete(
    node: Node, victims: tuple[str, ...]
) -> None:
    group = node.new_id()
    tasks = [
        node.run_task(node.bundle(args, group=group))
        for args in (["/bin/sleep", "1000"], ["/sleep.wasm"])
    ]
    path = task_socket(tasks[0])
    half = {"gateway": pid_behind(Path(tasks[0].address)), "shim": pid_behind(path)}
    pids = [task.state().pid for task in tasks]
    for victim in victims:
        os.kill(half[victim], signal.SIGKILL)
    for task in tasks:
        with pytest.raises((ClosedError, RpcError)):
            task.state()
    for task in tasks:
        answer = node.delete_leftovers(task.bundle)
        assert answer.exit_status == 137
        assert mounted_below(task.bundle.path) == []
        assert not leaks.cgroups(task.id)
    assert wait_until(lambda: gone(*half.values(), *pids))
    assert wait_until(lambda: not Path(tasks[0].address).exists())
    assert not path.exists()


def test_pod_whose_gateway_died_is_begun_anew(node: Node) -> None:
    group = node.new_id()
    first = node.dial(node.bundle(["/sleep.wasm"], group=group))
    shim = pid_behind(task_socket(first))
    os.kill(pid_behind(Path(first.address)), signal.SIGKILL)
    second = node.run_task(node.bundle(["/sleep.wasm"], group=group))
    assert second.address == first.address
    assert wait_until(lambda: gone(shim))
    assert second.state().pid > 1


def test_delete_of_one_container_leaves_the_pod_and_its_gateway_alone(node: Node) -> None:
    group = node.new_id()
    stays = node.run_task(node.bundle(["/sleep.wasm"], group=group))
    goes = node.dial(node.bundle(["/exit.wasm", "0"], group=group))
    node.end(goes)
    assert stays.state().pid > 1


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("containerd github.com/containerd/containerd/v2 2.1.9+unknown", "2.1 cannot use a shim"),
        ("containerd of my own", "containerd's version is not known"),
    ],
)
def test_start_for_another_containerd_is_refused_and_leaves_nothing(
    node: Node, home: TandemHome, line: str, text: str
) -> None:
    node.says(line)
    answer = node.run_start(node.bundle(["/sleep.wasm"]))
    assert answer.status == 1
    assert answer.text.startswith("tandem: containerd")
    assert text in answer.text
    assert answer.text.endswith('set [shim] transport = "ttrpc" in the configuration\n')
    assert [path for path in (home.run_dir / "s").iterdir() if path.is_socket()] == []


def test_two_starts_of_one_pod_at_once_find_one_shim(node: Node) -> None:
    group = node.new_id()
    bundles = [node.bundle(["/sleep.wasm"], group=group) for _ in range(4)]
    starting = [node.spawn_start(bundle) for bundle in bundles]
    answers = {process.communicate(timeout=60)[0] for process in starting}
    assert [process.returncode for process in starting] == [0] * 4
    assert len(answers) == 1
    address = json.loads(answers.pop())["address"]
    tasks = [Task(bundle, address) for bundle in bundles]
    node.tasks += tasks
    assert len({task.connect().shim_pid for task in tasks}) == 1


def test_launcher_without_a_daemon_makes_a_gateway_too(
    node: Node, tmp_path: Path, home: TandemHome
) -> None:
    """The last resort: the Python launcher's child becomes the pod shim."""
    for name in LAUNCHERS:
        shutil.copy2(BIN / name, tmp_path / name)
    own = Path(tempfile.mkdtemp(prefix="tdg", dir="/tmp"))
    leaks.watch(own)
    env = {**home.environment, "TANDEM_SOCKET": str(own / "d.sock")}
    node.shim = ShimBinary(tmp_path / LAUNCHERS[0], env)
    bundle = node.bundle(["/exit.wasm", "3"])
    task = node.run_task(bundle)
    gateway, shim = pid_behind(Path(task.address)), pid_behind(task_socket(task))
    assert task.wait().exit_status == 3
    node.end(task)
    assert wait_until(lambda: gone(gateway, shim))
    assert not Path(task.address).exists()
    shutil.rmtree(own)
