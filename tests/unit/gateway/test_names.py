"""Which paths a gateway serves."""

import pytest

from shim.gateway.names import is_introspection, split_method


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/containerd.task.v3.Task/Wait", ("containerd.task.v3.Task", "Wait")),
        ("/a/b/c", ("", "")),
        ("a/b", ("", "")),
        ("", ("", "")),
    ],
)
def test_path_is_service_and_method(path: str, parts: tuple[str, str]) -> None:
    assert split_method(path) == parts


def test_introspection_is_health_and_reflection() -> None:
    assert is_introspection("/grpc.health.v1.Health/Check")
    assert is_introspection("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    assert not is_introspection("/containerd.task.v3.Task/Wait")
