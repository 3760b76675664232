"""Names and bytes to verbs and back."""

import asyncio

import pytest
from google.protobuf.empty_pb2 import Empty

from shim.api import task_pb2
from shim.errdefs import InvalidArgumentError, NotFoundError, UnimplementedError
from shim.pod.dispatch import SERVICES, Dispatcher
from tests.unit.task.fakes import World, in_world

METHODS = [method.name for method in task_pb2.DESCRIPTOR.services_by_name["Task"].methods]
CREATE = task_pb2.CreateTaskRequest(id="c").SerializeToString()


@pytest.mark.parametrize("service", ["containerd.task.v2.Task", "containerd.task.v3.Task"])
def test_dispatch_serves_both_names(service: str) -> None:
    async def scenario(world: World) -> None:
        answer = await Dispatcher(world.service).call(service, "Create", CREATE)
        assert task_pb2.CreateTaskResponse.FromString(answer).pid == world.inits["c"].pid

    assert service in SERVICES
    in_world(scenario)


@pytest.mark.parametrize("method", METHODS)
def test_dispatch_knows_every_method_of_the_api(method: str) -> None:
    """An empty request names no container: that the verb says so proves that it was reached."""

    async def scenario(world: World) -> None:
        call = Dispatcher(world.service).call("containerd.task.v3.Task", method, b"")
        if method in {"Create", "Connect", "Shutdown"}:
            await call
            return
        with pytest.raises((NotFoundError, UnimplementedError), match="container "):
            await call

    in_world(scenario)


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("containerd.task.v1.Task", "State"),
        ("", "State"),
        ("x" * 10_000, "State"),
        ("containerd.task.v2.Task", "Nope"),
        ("containerd.task.v2.Task", "state"),
        ("containerd.task.v2.Task", "__init__"),
    ],
)
def test_dispatch_of_unknown_names_is_unimplemented(service: str, method: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(UnimplementedError) as caught:
            await Dispatcher(world.service).call(service, method, b"")
        assert len(str(caught.value)) < 300

    in_world(scenario)


def test_dispatch_of_bytes_that_are_no_message_is_an_invalid_argument() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidArgumentError, match="State: the request cannot be decoded"):
            await Dispatcher(world.service).call("containerd.task.v2.Task", "State", b"\xff")

    in_world(scenario)


def test_dispatch_of_empty_answers_is_no_bytes() -> None:
    async def scenario(world: World) -> None:
        answer = await Dispatcher(world.service).call("containerd.task.v2.Task", "Shutdown", b"")
        assert answer == Empty().SerializeToString() == b""
        await asyncio.sleep(0)

    in_world(scenario)
