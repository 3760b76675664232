"""stdin of `start`: nothing, options, or a BootstrapParams that names this very call."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from shim.api import bootstrap_pb2, options_pb2, runc_options_pb2
from shim.daemon.bootstrap import StartInput, parse_start_input


def any_of(message: Message, prefix: str = "") -> Any:
    name = message.DESCRIPTOR.full_name
    return Any(type_url=f"{prefix}{name}", value=message.SerializeToString())


def generic(body: str) -> Message:
    return options_pb2.Options(type_url="x", config_body=body.encode())


RUNC = runc_options_pb2.Options(shim_cgroup="/shims", binary_name="crun")


def parse(data: bytes) -> StartInput:
    return parse_start_input(data, "c", "n")


def bootstrap(*options: Any, instance_id: str = "c", namespace: str = "n") -> bytes:
    params = bootstrap_pb2.BootstrapParams(
        instance_id=instance_id, namespace=namespace, containerd_version="2.3.4"
    )
    for each in options:
        params.extensions.add().value.CopyFrom(each)
    return params.SerializeToString()


def test_input_of_nothing_is_nothing() -> None:
    assert parse(b"") == StartInput()


@pytest.mark.parametrize(
    ("options", "cgroup"),
    [
        (any_of(RUNC), "/shims"),
        (any_of(RUNC, "type.googleapis.com/"), "/shims"),
        (any_of(runc_options_pb2.Options(binary_name="crun")), ""),
        (any_of(generic('ShimCgroup = "/shims"\nBinaryName = "crun"')), "/shims"),
        (any_of(generic('BinaryName = "crun"')), ""),
        (any_of(generic("ShimCgroup = 1")), ""),
        (any_of(generic("ShimCgroup = ")), ""),
        (Any(type_url="windows.v1.Options", value=RUNC.SerializeToString()), ""),
        (Any(type_url="containerd.runc.v1.Options", value=b"\xff"), ""),
        (Any(type_url="runtimeoptions.v1.Options", value=b"\xff"), ""),
    ],
)
def test_input_names_the_shims_cgroup_in_both_forms(options: Any, cgroup: str) -> None:
    assert parse(options.SerializeToString()) == StartInput(shim_cgroup=cgroup)
    other = any_of(bootstrap_pb2.Extension())
    assert parse(bootstrap(other, options)) == StartInput("2.3.4", cgroup)


def test_input_of_another_call_is_no_bootstrap() -> None:
    """Any and BootstrapParams begin with the same fields."""
    assert parse(bootstrap()) == StartInput("2.3.4")
    for other in (bootstrap(instance_id="d"), bootstrap(namespace="m")):
        assert parse(other) == StartInput()


@given(st.binary(max_size=200))
def test_input_hostile_bytes_say_nothing(data: bytes) -> None:
    assert parse(data) == StartInput()
