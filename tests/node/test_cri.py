"""What containerd says of itself, over a real gRPC server that says it."""

import json
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtimeclass.api import cri_pb2
from runtimeclass.installer.cri import Cri
from runtimeclass.installer.errors import NodeError


class Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers methods by name; others are not implemented."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}

    def service(self, details: Any) -> Any:
        answer = self.answers.get(details.method.rpartition("/")[2])
        if answer is None:
            return None
        return grpc.unary_unary_rpc_method_handler(lambda request, context: answer)


@pytest.fixture
def service(short_path: Path) -> Iterator[Service]:
    made = Service()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((made,))
    server.add_insecure_port(f"unix:{short_path}")
    server.start()
    yield made
    server.stop(None).wait()


@pytest.fixture
def cri(short_path: Path) -> Iterator[Cri]:
    with Cri(short_path) as made:
        yield made


def version(name: str, number: str) -> bytes:
    answer = cri_pb2.VersionResponse(runtime_name=name, runtime_version=number)
    return answer.SerializeToString()


@pytest.mark.parametrize(
    ("number", "expected"),
    [("1.6.20~ds1", (1, 6, 20)), ("v2.1.5-k3s1.32", (2, 1, 5)), ("2.1.9+unknown", (2, 1, 9))],
)
def test_version_is_read_in_every_form(
    service: Service, cri: Cri, number: str, expected: tuple[int, ...]
) -> None:
    service.answers["Version"] = version("containerd", number)
    assert cri.version() == expected


@pytest.mark.parametrize(
    ("name", "number", "reason"),
    [
        ("cri-o", "1.30.0", "is cri-o 1.30.0, and Tandem is for containerd"),
        ("containerd", "unknown", "Tandem is for containerd"),
        ("containerd", "1.5.9", "too old: upgrade to 1.6"),
    ],
)
def test_other_runtimes_are_refused(
    service: Service, cri: Cri, name: str, number: str, reason: str
) -> None:
    service.answers["Version"] = version(name, number)
    with pytest.raises(NodeError, match=reason):
        cri.version()


def test_runtimes_are_those_of_the_rendered_configuration(service: Service, cri: Cri) -> None:
    config = json.dumps({"containerd": {"runtimes": {"tandem": {"runtimeType": "x"}}}})
    service.answers["Status"] = cri_pb2.StatusResponse(info={"config": config}).SerializeToString()
    assert cri.runtimes() == {"tandem": {"runtimeType": "x"}}


@pytest.mark.parametrize("info", [{}, {"config": "{"}, {"config": "{}"}, {"config": "[]"}])
def test_status_without_them_is_an_error(service: Service, cri: Cri, info: dict[str, str]) -> None:
    service.answers["Status"] = cri_pb2.StatusResponse(info=info).SerializeToString()
    with pytest.raises(NodeError, match="does not say which runtimes"):
        cri.runtimes()


def test_sandboxes_are_ours_and_ready(service: Service, cri: Cri) -> None:
    def item(name: str, handler: str, state: Any) -> cri_pb2.PodSandbox:
        metadata = cri_pb2.PodSandboxMetadata(name=name, namespace="n")
        return cri_pb2.PodSandbox(id=name, metadata=metadata, state=state, runtime_handler=handler)

    items = [
        item("ours", "tandem", cri_pb2.READY),
        item("ended", "tandem", cri_pb2.NOTREADY),
        item("other", "", cri_pb2.READY),
    ]
    answer = cri_pb2.ListPodSandboxResponse(items=items)
    service.answers["ListPodSandbox"] = answer.SerializeToString()
    assert [each.name for each in cri.sandboxes()] == ["ours"]


def test_containerd_without_cri_is_named(service: Service, cri: Cri) -> None:
    with pytest.raises(NodeError, match="has no CRI"):
        cri.version()


def test_silent_socket_is_named(cri: Cri) -> None:
    with pytest.raises(NodeError, match="does not answer: UNAVAILABLE"):
        cri.version()
