"""The command line: `start`, its answer, grouping and races; `-v`, `-info`."""

import json
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from shim.api import info_pb2
from tests.conformance.workloads import Workload
from tests.support.bundle import Bundle
from tests.support.leaks import wait_until
from tests.support.shim_process import Answer, ShimManager, alive


def socket_path(address: str) -> Path:
    return Path(address.removeprefix("unix://"))


def address(output: bytes) -> str:
    return Answer(0, output, b"").address


def test_start_prints_an_address_that_listens_and_nothing_else(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/true"])
    answer = manager.run_start(bundle)
    assert answer.status == 0, answer.text
    assert answer.text.startswith("unix:///")
    assert answer.text.strip() == answer.text.split()[0]
    path = socket_path(answer.text.strip())
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert len(str(path)) <= 107
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    manager.connect(bundle, answer.text.strip())


def test_start_leaves_the_address_in_the_bundle(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    assert address((task.bundle.path / "address").read_bytes()) == task.address


def test_start_answers_the_newer_lines_in_json(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/true"])
    answer = manager.run_start(bundle, {"MAX_SHIM_VERSION": "2"})
    told = json.loads(answer.stdout)
    assert (told["version"], told["protocol"]) == (2, "ttrpc")
    manager.connect(bundle, told["address"])


def test_start_of_a_pods_second_container_finds_the_first_shim(manager: ShimManager) -> None:
    group = manager.new_id()
    first = manager.start_task(manager.bundle(["/bin/true"], group=group))
    second = manager.start_task(manager.bundle(["/bin/true"], group=group))
    assert second.address == first.address
    assert second.connect().shim_pid == first.connect().shim_pid


def test_start_of_another_pod_makes_another_shim(manager: ShimManager) -> None:
    first = manager.start_task(manager.bundle(["/bin/true"], group=manager.new_id()))
    second = manager.start_task(manager.bundle(["/bin/true"], group=manager.new_id()))
    assert second.address != first.address
    assert second.connect().shim_pid != first.connect().shim_pid


def test_start_of_two_at_once_makes_two_shims(manager: ShimManager) -> None:
    bundles = [manager.bundle(["/bin/true"]) for _ in range(2)]
    processes = [manager.spawn_start(bundle) for bundle in bundles]
    addresses = [address(process.communicate(timeout=20)[0]) for process in processes]
    tasks = [manager.connect(*pair) for pair in zip(bundles, addresses, strict=True)]
    assert len({task.connect().shim_pid for task in tasks}) == 2


def test_start_again_finds_the_same_shim(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    assert manager.start_shim(task.bundle) == task.address


def test_start_replaces_a_dead_shims_socket(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/true"])
    task = manager.start_task(bundle)
    dead = task.connect().shim_pid
    subprocess.run(["kill", "-9", str(dead)], check=True)
    assert wait_until(lambda: not alive(dead))
    again = manager.start_task(bundle)
    assert again.connect().shim_pid != dead


def test_start_without_a_spec_fails_with_a_reason(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/true"])
    (bundle.path / "config.json").unlink()
    answer = manager.run_start(bundle)
    assert answer.status != 0
    assert "config.json" in answer.text
    bundle.write_spec()


def test_start_with_a_long_id_and_namespace_fits_into_a_socket_path(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/true"])
    bundle.container_id = bundle.container_id + "x" * (64 - len(bundle.container_id))
    task = manager.start_task(bundle)
    assert task.connect().shim_pid > 0


def test_version_is_told_without_a_namespace(manager: ShimManager) -> None:
    done = subprocess.run(
        [manager.shim.path, "-v"], env=manager.environment(), capture_output=True, check=True
    )
    assert done.stdout.strip()
    assert done.stderr == b""


def test_info_names_the_runtime(manager: ShimManager) -> None:
    done = subprocess.run(
        [manager.shim.path, "-info"],
        env=manager.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    info = info_pb2.RuntimeInfo.FromString(done.stdout)
    assert info.name == "io.containerd.tandem.v1"
    assert info.version.version
    assert done.stderr == b""


def test_unknown_action_fails(manager: ShimManager) -> None:
    bundle = manager.bundle(["/bin/true"])
    done = subprocess.run(
        [*manager.arguments(bundle.container_id), "dance"],
        cwd=bundle.path,
        env=manager.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=10,
    )
    assert done.returncode != 0


@pytest.mark.parametrize("count", [2, 6])
def test_start_raced_within_a_pod_makes_one_shim(manager: ShimManager, count: int) -> None:
    group = manager.new_id()
    bundles = [manager.bundle(["/bin/true"], group=group) for _ in range(count)]
    processes = [manager.spawn_start(bundle) for bundle in bundles]
    outputs = [process.communicate(timeout=20)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs
    addresses = map(address, outputs)
    tasks = [manager.connect(*pair) for pair in zip(bundles, addresses, strict=True)]
    assert len({task.connect().shim_pid for task in tasks}) == 1
    assert len(set(outputs)) == 1


def test_mixed_states_of_one_pod_do_not_disturb_each_other(
    manager: ShimManager, workload: Workload
) -> None:
    group = manager.new_id()

    def bundle(args: list[str]) -> Bundle:
        return manager.bundle(args, group=group)

    sleeper = manager.running(bundle(workload.sleep()))
    ended = manager.running(bundle(workload.exit(3)))
    created = manager.created(bundle(workload.exit(0)))
    assert ended.wait().exit_status == 3
    ended.delete()
    ended.shutdown()
    manager.delete_leftovers(ended.bundle)
    assert [sleeper.state().status, created.state().status] == [2, 1]
