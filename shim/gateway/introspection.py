"""gRPC's health and reflection services, so that any gRPC client can drive the task API.

Rules: imported only when somebody asks. The descriptors live in a pool of their own, since Task v2
is made here from v3's: the messages are the same (containerd api/runtime/task), the package is not.
"""

from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, empty_pb2, timestamp_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from shim.api import options_pb2, runc_options_pb2, task_pb2, types_pb2
from shim.gateway.names import HEALTH, REFLECTION, SERVICES

_V2, _V3 = b"containerd.task.v2", b"containerd.task.v3"


def handlers() -> tuple[Any, ...]:
    """The two services' handlers for a grpc.aio server."""
    collected = _Collected()
    health_pb2_grpc.add_HealthServicer_to_server(_Health(), collected)
    described = reflection.aio.ReflectionServicer((*SERVICES, HEALTH, REFLECTION), pool())
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(described, collected)
    return tuple(collected.handlers)


def pool() -> descriptor_pool.DescriptorPool:
    """Every message and service that the socket serves, and the options that an Any may hold."""
    found = descriptor_pool.DescriptorPool()
    for module in (any_pb2, empty_pb2, timestamp_pb2, types_pb2, task_pb2):
        found.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    found.AddSerializedFile(_task_v2().SerializeToString())
    for module in (options_pb2, runc_options_pb2, health_pb2, reflection_pb2):
        found.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return found


def _task_v2() -> descriptor_pb2.FileDescriptorProto:
    # The names are as long as each other, so that no length around them changes.
    renamed = task_pb2.DESCRIPTOR.serialized_pb.replace(_V3, _V2)
    file = descriptor_pb2.FileDescriptorProto.FromString(renamed)
    file.name = file.name.replace("task.proto", "task_v2.proto")
    return file


class _Health(health.aio.HealthServicer):  # type: ignore[misc]  # no types
    """Every service serves as long as this process does."""

    def __init__(self) -> None:
        super().__init__()
        for name in SERVICES:
            self._server_status[name] = health_pb2.HealthCheckResponse.SERVING


class _Collected:
    """Takes what generated code adds to a server."""

    def __init__(self) -> None:
        self.handlers: list[Any] = []

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        self.handlers += handlers

    def add_registered_method_handlers(self, *_: object) -> None:
        """The same handlers again, by another way that a generic one does not need."""
