"""`delete`: idempotent, and never at another's cost."""

import socket
from pathlib import Path

import pytest

from shim import sockets
from shim.api import task_pb2
from shim.daemon.delete import delete, delete_nothing
from shim.daemon.params import Action, Params
from shim.daemon.reply import encode_grpc_address
from shim.errdefs import InternalError
from shim.record import Record, pid_file, read_record, write_record
from shim.rundir import RunDir, gateway_socket

PARAMS = Params(Action.DELETE, namespace="n", id="c")


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "run" / "d.sock")
    run_dir.create()
    return run_dir


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    (path / "rootfs").mkdir(parents=True)
    return path


def run(bundle: Path, run_dir: RunDir) -> task_pb2.DeleteResponse:
    return task_pb2.DeleteResponse.FromString(delete(PARAMS, str(bundle), run_dir))


@pytest.mark.parametrize("exists", [True, False])
def test_delete_with_nothing_to_clean(bundle: Path, run_dir: RunDir, exists: bool) -> None:
    where = bundle if exists else bundle / "missing"
    for _ in range(2):
        response = run(where, run_dir)
        assert (response.pid, response.exit_status) == (0, 137)
        assert response.exited_at.ToNanoseconds() > 0


def test_delete_takes_the_bundle_of_the_flag(bundle: Path, run_dir: RunDir) -> None:
    pid_file(bundle).write_text("77")
    params = Params(Action.DELETE, namespace="n", id="c", bundle=str(bundle))
    answer = task_pb2.DeleteResponse.FromString(delete(params, "/", run_dir))
    assert answer.pid == 77


def test_delete_after_a_shims_death_cleans_and_says_the_pid(bundle: Path, run_dir: RunDir) -> None:
    write_record(bundle, Record(str(bundle / "rootfs")))
    pid_file(bundle).write_text("4194304")
    assert run(bundle, run_dir).pid == 4194304
    assert read_record(bundle) is None
    assert run(bundle, run_dir).pid == 0


def fake_runtime(tmp_path: Path, body: str) -> Record:
    path = tmp_path / "fake-runc"
    path.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n{body}\n')
    path.chmod(0o755)
    root = tmp_path / "root"
    (root / "c").mkdir(parents=True)
    return Record(
        str(tmp_path / "bundle" / "rootfs"), oci_runtime=str(path), oci_runtime_root=str(root)
    )


def test_delete_has_the_runtime_remove_its_container(
    tmp_path: Path, bundle: Path, run_dir: RunDir
) -> None:
    write_record(bundle, fake_runtime(tmp_path, f"rmdir {tmp_path}/root/c"))
    for _ in range(2):
        run(bundle, run_dir)
    assert (tmp_path / "calls").read_text() == f"--root {tmp_path}/root delete -f c\n"


def test_delete_that_fails_says_why_and_can_be_repeated(
    tmp_path: Path, bundle: Path, run_dir: RunDir
) -> None:
    record = fake_runtime(tmp_path, "echo device is busy >&2; exit 1")
    write_record(bundle, record)
    with pytest.raises(InternalError, match=r"container c is not wholly removed.*device is busy"):
        run(bundle, run_dir)
    assert read_record(bundle) == record
    (tmp_path / "root" / "c").rmdir()
    run(bundle, run_dir)
    assert read_record(bundle) is None


def test_delete_names_a_runtime_that_is_gone(tmp_path: Path, bundle: Path, run_dir: RunDir) -> None:
    record = fake_runtime(tmp_path, "")
    Path(record.oci_runtime).unlink()
    write_record(bundle, record)
    with pytest.raises(InternalError, match="fake-runc"):
        run(bundle, run_dir)


def address(bundle: Path, run_dir: RunDir) -> tuple[Path, socket.socket]:
    path = run_dir.task_socket("a", "n", "g")
    (bundle / "address").write_text(f"unix://{path}")
    return path, sockets.listen(path)


def test_delete_removes_the_socket_of_a_dead_shim(bundle: Path, run_dir: RunDir) -> None:
    path, listener = address(bundle, run_dir)
    listener.close()
    run(bundle, run_dir)
    assert not path.exists()


def test_delete_leaves_a_live_shims_socket(bundle: Path, run_dir: RunDir) -> None:
    path, listener = address(bundle, run_dir)
    with listener:
        run(bundle, run_dir)
        assert sockets.is_alive(path)


def test_delete_removes_nothing_outside_the_run_directory(
    tmp_path: Path, bundle: Path, run_dir: RunDir
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (bundle / "address").write_text(f"unix://{victim}")
    run(bundle, run_dir)
    assert victim.read_text() == "precious"


def behind_gateway(bundle: Path, run_dir: RunDir) -> tuple[Path, socket.socket, socket.socket]:
    path, listener = address(bundle, run_dir)
    gateway = gateway_socket(path)
    (bundle / "address").write_bytes(encode_grpc_address(gateway))
    return path, listener, sockets.listen(gateway)


def test_delete_leaves_a_live_pod_behind_a_gateway_alone(bundle: Path, run_dir: RunDir) -> None:
    path, listener, gateway = behind_gateway(bundle, run_dir)
    with listener, gateway:
        assert delete_nothing(bundle, run_dir) is not None
        run(bundle, run_dir)
        assert sockets.is_alive(path)
        assert sockets.is_alive(gateway_socket(path))


@pytest.mark.parametrize("gateway_lives", [True, False])
def test_delete_removes_what_a_dead_shim_behind_a_gateway_left(
    bundle: Path, run_dir: RunDir, gateway_lives: bool
) -> None:
    path, listener, gateway = behind_gateway(bundle, run_dir)
    listener.close()
    if not gateway_lives:
        gateway.close()
    assert delete_nothing(bundle, run_dir) is None
    run(bundle, run_dir)
    assert not path.exists()
    # A gateway that lives is about to end, and takes its own socket along.
    assert gateway_socket(path).exists() == gateway_lives
    gateway.close()


@pytest.mark.parametrize("text", ["", "{", '{"address": "/etc/passwd"}'])
def test_delete_takes_an_odd_address_for_none(bundle: Path, run_dir: RunDir, text: str) -> None:
    (bundle / "address").write_text(text)
    assert delete_nothing(bundle, run_dir) is not None
