"""What reflection describes: Task v2 and v3, each with messages of its own package."""

import pytest

from shim.api import task_pb2
from shim.gateway.introspection import pool
from shim.gateway.names import HEALTH, REFLECTION, SERVICES

METHODS = {method.name for method in task_pb2.DESCRIPTOR.services_by_name["Task"].methods}


@pytest.mark.parametrize("name", SERVICES)
def test_pool_describes_a_task_service_with_all_messages(name: str) -> None:
    package = name.rpartition(".")[0]
    service = pool().FindServiceByName(name)
    assert {method.name for method in service.methods} == METHODS
    for method in service.methods:
        for message in (method.input_type, method.output_type):
            assert message.full_name.startswith((f"{package}.", "google.protobuf."))
    create = service.methods_by_name["Create"].input_type
    ours = task_pb2.CreateTaskRequest.DESCRIPTOR
    assert [(field.name, field.number, field.type) for field in create.fields] == [
        (field.name, field.number, field.type) for field in ours.fields
    ]
    pids = service.methods_by_name["Pids"].output_type.fields_by_name["processes"]
    assert pids.message_type is not None
    assert pids.message_type.full_name.startswith(f"{package}.")


@pytest.mark.parametrize("name", [HEALTH, REFLECTION])
def test_pool_describes_itself(name: str) -> None:
    assert pool().FindServiceByName(name).full_name == name


@pytest.mark.parametrize("name", ["containerd.runc.v1.Options", "runtimeoptions.v1.Options"])
def test_pool_describes_what_the_options_may_be(name: str) -> None:
    assert pool().FindMessageTypeByName(name).full_name == name
