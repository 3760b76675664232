"""What the service answers to the unknown, the wrong and the hostile."""

import struct

import pytest
from google.protobuf.empty_pb2 import Empty

from shim.api import task_pb2, ttrpc_pb2
from shim.ttrpc.codes import Code
from shim.ttrpc.frame import MAX_MESSAGE_BYTES, Frame, encode_frame
from tests.conformance.workloads import Workload
from tests.support.failing import fails
from tests.support.leaks import cgroups
from tests.support.shim_process import ShimManager, alive, mounted_below
from tests.support.shim_task import TASK_V2
from tests.support.ttrpc_client import RawConnection, RpcError

METHODS = task_pb2.DESCRIPTOR.services_by_name["Task"].methods_by_name
WITHOUT_A_TASK = {"Create", "Connect", "Shutdown"}


def request_bytes(method: str, payload: bytes, service: str = TASK_V2) -> bytes:
    request = ttrpc_pb2.Request(service=service, method=method, payload=payload)
    return request.SerializeToString()


def response(frame: Frame) -> ttrpc_pb2.Response:
    assert frame.type == 2
    return ttrpc_pb2.Response.FromString(frame.data)


@pytest.mark.parametrize("method", sorted(set(METHODS) - WITHOUT_A_TASK))
def test_unknown_container_is_not_found(manager: ShimManager, method: str) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    with fails(Code.NOT_FOUND):
        task.call(method, task_pb2.StateRequest(id="unknown"), Empty)


@pytest.mark.parametrize("method", ["Checkpoint", "Exec", "Update"])
def test_half_a_request_is_the_callers_fault(
    manager: ShimManager, workload: Workload, method: str
) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    with pytest.raises(RpcError) as caught:
        task.call(method, task_pb2.StateRequest(id=task.id), Empty)
    assert caught.value.code in {Code.INVALID_ARGUMENT, Code.UNIMPLEMENTED}
    assert task.state().status == task_pb2.RUNNING


def test_unknown_service_and_method_are_unimplemented(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    with fails(Code.UNIMPLEMENTED):
        task.call("Dance", Empty(), Empty)
    with fails(Code.UNIMPLEMENTED):
        task.client.call("containerd.task.v9.Task", "State", Empty(), Empty)


def test_connect_never_fails(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    answer = task.connect("unknown")
    assert answer.task_pid == 0
    assert alive(answer.shim_pid)
    assert task.connect("").task_pid == 0


def test_connect_tells_the_pid_of_the_task(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    assert task.connect().task_pid == task.state().pid


def test_pids_hold_the_init(manager: ShimManager, workload: Workload) -> None:
    task = manager.created(manager.bundle(workload.sleep()))
    assert task.connect().task_pid in task.pids()
    task.start()
    assert task.connect().task_pid in task.pids()


def test_duplicate_create_already_exists(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    before = mounted_below(manager.directory)
    with fails(Code.ALREADY_EXISTS):
        task.create()
    assert mounted_below(manager.directory) == before
    assert task.state().status == task_pb2.RUNNING


def test_failed_create_leaves_nothing_and_the_shim_lives(
    manager: ShimManager, workload: Workload
) -> None:
    task = manager.start_task(manager.bundle(workload.missing()))
    with pytest.raises(RpcError) as caught:
        task.create()
    assert "missing" in caught.value.message
    assert mounted_below(manager.directory) == []
    assert cgroups(task.id) == set()
    with fails(Code.NOT_FOUND):
        task.state()
    task.bundle.spec["process"]["args"] = workload.exit(0)
    task.bundle.write_spec()
    task.create()
    task.start()
    assert task.wait().exit_status == 0


def test_unmountable_rootfs_fails_create_and_the_shim_lives(
    manager: ShimManager, workload: Workload
) -> None:
    bundle = manager.bundle(workload.exit(0))
    good = bundle.rootfs[0]
    bad = type(good)(type="bind", source="/nonexistent/source", options=["rbind"])
    bundle.rootfs = [good, bad]
    task = manager.start_task(bundle)
    with pytest.raises(RpcError):
        task.create()
    assert mounted_below(manager.directory) == []
    bundle.rootfs = [good]
    task.create()


def test_create_without_a_bundle_fails_and_the_shim_lives(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    with pytest.raises(RpcError):
        task.create(bundle=str(manager.directory / "missing"), rootfs=[])
    assert task.connect().shim_pid > 0


def test_broken_spec_fails_create_and_the_shim_lives(
    manager: ShimManager, workload: Workload
) -> None:
    task = manager.start_task(manager.bundle(workload.exit(0)))
    (task.bundle.path / "config.json").write_text('{"process": ')
    with pytest.raises(RpcError):
        task.create()
    assert mounted_below(manager.directory) == []
    task.bundle.write_spec()
    task.create()


def test_undecodable_payload_costs_one_call(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    with RawConnection(task.address) as raw:
        raw.send(encode_frame(Frame(1, 1, 0, request_bytes("State", b"\xff\xff\xff"))))
        assert response(raw.receive()).status.code != 0
        raw.send(encode_frame(Frame(3, 1, 0, request_bytes("Connect", b""))))
        assert response(raw.receive()).status.code == 0


def test_hostile_frames_cost_one_call(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    connect = request_bytes("Connect", b"")
    with RawConnection(task.address) as raw:
        raw.send(encode_frame(Frame(2, 1, 0, connect)))
        frame = raw.receive()
        assert (frame.stream_id, response(frame).status.code) == (2, Code.INVALID_ARGUMENT)
        raw.send(encode_frame(Frame(1, 77, 0, b"unknown type")))
        length = MAX_MESSAGE_BYTES + 1
        raw.send(struct.pack(">IIBB", length, 3, 1, 0) + bytes(length))
        frame = raw.receive()
        assert (frame.stream_id, response(frame).status.code) == (3, Code.RESOURCE_EXHAUSTED)
        raw.send(encode_frame(Frame(5, 1, 0, b"\xff\xff\xff")))
        assert response(raw.receive()).status.code == Code.INVALID_ARGUMENT
        raw.send(encode_frame(Frame(7, 1, 0, connect)))
        frame = raw.receive()
        assert (frame.stream_id, response(frame).status.code) == (7, 0)


def test_half_a_frame_and_a_hang_up_disturb_nobody(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    for data in (b"", b"\0\0\0", struct.pack(">IIBB", 100, 1, 1, 0) + b"short", b"\xff" * 64):
        with RawConnection(task.address) as raw:
            raw.send(data)
        assert task.connect().shim_pid > 0


def test_frames_in_pieces_and_many_at_once(manager: ShimManager) -> None:
    task = manager.start_task(manager.bundle(["/bin/true"]))
    connect = request_bytes("Connect", b"")
    frames = b"".join(encode_frame(Frame(number, 1, 0, connect)) for number in range(1, 41, 2))
    with RawConnection(task.address) as raw:
        for start in range(0, len(frames), 7):
            raw.send(frames[start : start + 7])
        answered = {raw.receive().stream_id for _ in range(20)}
        assert answered == set(range(1, 41, 2))


def test_a_hung_up_waiter_disturbs_nobody(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    wait = task_pb2.WaitRequest(id=task.id).SerializeToString()
    with RawConnection(task.address) as raw:
        raw.send(encode_frame(Frame(1, 1, 0, request_bytes("Wait", wait))))
    task.kill(9)
    assert task.wait().exit_status == 137


def test_service_of_the_newer_line_is_the_same(manager: ShimManager, workload: Workload) -> None:
    task = manager.running(manager.bundle(workload.sleep()))
    request = task_pb2.StateRequest(id=task.id)
    state = task.client.call("containerd.task.v3.Task", "State", request, task_pb2.StateResponse)
    assert state == task.state()
