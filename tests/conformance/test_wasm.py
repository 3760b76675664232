"""Wasm containers through the Task service: what only they do."""

import signal

import pytest

from shim.api import task_pb2
from tests.support.bundle import PATH_ENV, Bundle
from tests.support.shim_process import ShimManager
from tests.support.tandem_home import TandemHome
from tests.support.ttrpc_client import RpcError


def streams(manager: ShimManager, bundle: Bundle) -> tuple[int, bytes, bytes]:
    task = manager.running(bundle)
    assert bundle.stdout is not None
    assert bundle.stderr is not None
    out, err = bundle.stdout.read_to_end(), bundle.stderr.read_to_end()
    return task.wait().exit_status, out, err


def test_wasm_hello(manager: ShimManager) -> None:
    assert streams(manager, manager.bundle(["/hello.wasm"])) == (0, b"hello from wasm\n", b"")


@pytest.mark.parametrize("status", [0, 1, 42, 125, 126, 200, 255])
def test_wasm_exit_status_is_the_guests(manager: ShimManager, status: int) -> None:
    assert streams(manager, manager.bundle(["/exit.wasm", str(status)]))[0] == status


def test_wasm_artefact_that_cannot_be_loaded_is_made_anew(
    manager: ShimManager, home: TandemHome
) -> None:
    assert streams(manager, manager.bundle(["/hello.wasm"]))[0] == 0
    artefacts = [path for path in home.cache.rglob("*.module") if not path.is_symlink()]
    assert artefacts
    for path in artefacts:
        # Not in place: a running instance may have the file mapped.
        path.unlink()
        path.write_bytes(b"junk" * 1000)
    assert streams(manager, manager.bundle(["/hello.wasm"])) == (0, b"hello from wasm\n", b"")
    assert any(path.exists() and not path.read_bytes().startswith(b"junk") for path in artefacts)


def test_wasm_arguments_and_environment(manager: ShimManager) -> None:
    bundle = manager.bundle(["/environ.wasm", "one", "", "three  3"], env=["A=b", "EMPTY="])
    status, out, _ = streams(manager, bundle)
    # A byte of 0 parts what argv and what the environment hold.
    args = b"/environ.wasm\0one\0\0three  3\0"
    assert (status, out) == (0, args + b"\0" + f"{PATH_ENV}\0A=b\0EMPTY=\0".encode())


def test_wasm_trap_is_137_and_says_why(manager: ShimManager) -> None:
    status, _, err = streams(manager, manager.bundle(["/trap.wasm"]))
    assert status == 137
    assert b"unreachable" in err


def test_wasm_ends_on_sigterm(manager: ShimManager) -> None:
    task = manager.running(manager.bundle(["/sleep.wasm"]))
    task.kill(signal.SIGTERM)
    assert task.wait().exit_status == 143


def test_wasm_reads_stdin(manager: ShimManager) -> None:
    bundle = manager.bundle(["/cat.wasm"], stdin=True)
    task = manager.running(bundle)
    assert bundle.stdin is not None
    assert bundle.stdout is not None
    bundle.stdin.open()
    bundle.stdin.write(b"through the guest")
    bundle.stdin.close()
    task.close_io()
    assert bundle.stdout.read_to_end() == b"through the guest"
    assert task.wait().exit_status == 0


def test_wasm_module_that_is_broken_fails_create_with_the_reason(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/broken.wasm"]))
    with pytest.raises(RpcError, match="wasmtime refuses"):
        task.create()
    assert task.connect().shim_pid > 0


def test_wasm_beside_linux_in_one_pod(manager: ShimManager) -> None:
    group = manager.new_id()
    linux = manager.running(manager.bundle(["/bin/sleep", "1000"], group=group))
    wasm = manager.running(manager.bundle(["/sleep.wasm"], group=group))
    assert wasm.address == linux.address
    assert wasm.connect().shim_pid == linux.connect().shim_pid
    wasm.kill(signal.SIGTERM)
    assert wasm.wait().exit_status == 143
    assert linux.state().status == task_pb2.RUNNING
    linux.kill(signal.SIGKILL)
    assert linux.wait().exit_status == 137
