"""A client of containerd's CRI, for what a kubelet would ask it.

`Cri` makes the calls, one method per verb where the verb needs no more than an id. Pods and their
containers are objects (`tests.support.pods`), which clean up after themselves. A refusal is a
`CriError` with the gRPC code's name and containerd's own text.
"""

from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from tests.support.api import cri_pb2 as api
from tests.support.waiting import wait_for

CALL_TIMEOUT = 60.0

Reply = TypeVar("Reply", bound=Message)


class CriError(Exception):
    """A CRI call that containerd refused."""

    def __init__(self, method: str, code: str, text: str) -> None:
        super().__init__(f"{method}: {code}: {text}")
        self.method = method
        self.code = code
        self.text = text


class Cri:
    """A connection to containerd's CRI. Made by `Containerd`; safe to use from several threads."""

    def __init__(self, socket: Path) -> None:
        """Connect lazily; `socket` is containerd's gRPC socket."""
        self._channel = grpc.insecure_channel(
            f"unix:{socket}",
            options=[
                ("grpc.max_receive_message_length", 64 << 20),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.max_reconnect_backoff_ms", 200),
            ],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way fail."""
        self._channel.close()

    def call(self, request: Message, reply: type[Reply], timeout: float = CALL_TIMEOUT) -> Reply:
        """Make the call that the request's type names ("VersionRequest" calls Version).

        Raises:
            CriError: refused, timed out (seconds), or nobody listens.
        """
        method = type(request).__name__.removesuffix("Request")
        service = "ImageService" if "Image" in method else "RuntimeService"
        stub = self._channel.unary_unary(
            f"/runtime.v1.{service}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        try:
            answer: Reply = stub(request, timeout=timeout)
        except grpc.RpcError as error:
            raise CriError(method, error.code().name, error.details() or "") from error
        return answer

    def version(self, timeout: float = CALL_TIMEOUT) -> api.VersionResponse:
        """Name and version of the runtime."""
        return self.call(api.VersionRequest(), api.VersionResponse, timeout)

    def is_ready(self) -> bool:
        """Whether containerd answers and both its runtime and its pod network are ready."""
        try:
            self.version(timeout=1.0)
            conditions = self.call(api.StatusRequest(), api.StatusResponse, 5.0).status.conditions
        except CriError:
            return False
        return bool(conditions) and all(condition.status for condition in conditions)

    def wait_for_image(self, name: str, timeout: float = 10.0) -> api.Image:
        """The image, once CRI has heard of its import; the timeout is in seconds."""
        request = api.ImageStatusRequest(image=api.ImageSpec(image=name))

        def known() -> api.Image | None:
            answer = self.call(request, api.ImageStatusResponse)
            return answer.image if answer.HasField("image") else None

        return wait_for(f"image {name} in CRI", known, timeout)

    def has_image(self, name: str) -> bool:
        """Whether CRI knows the image."""
        request = api.ImageStatusRequest(image=api.ImageSpec(image=name))
        return self.call(request, api.ImageStatusResponse).HasField("image")

    def pull(self, name: str, timeout: float = CALL_TIMEOUT) -> str:
        """Pull an image from its registry; returns its id. The timeout is in seconds."""
        request = api.PullImageRequest(image=api.ImageSpec(image=name))
        return self.call(request, api.PullImageResponse, timeout).image_ref

    def pod_ids(self) -> list[str]:
        """The ids of all pods, running or not."""
        answer = self.call(api.ListPodSandboxRequest(), api.ListPodSandboxResponse)
        return [pod.id for pod in answer.items]

    def container_ids(self) -> list[str]:
        """The ids of all containers, running or not."""
        answer = self.call(api.ListContainersRequest(), api.ListContainersResponse)
        return [container.id for container in answer.containers]

    def stop_pod(self, pod_id: str) -> None:
        """Stop a pod with everything in it, at once."""
        self.call(api.StopPodSandboxRequest(pod_sandbox_id=pod_id), api.StopPodSandboxResponse)

    def remove_pod(self, pod_id: str) -> None:
        """Remove a pod with everything in it."""
        self.call(api.RemovePodSandboxRequest(pod_sandbox_id=pod_id), api.RemovePodSandboxResponse)

    def remove_all_pods(self) -> None:
        """Stop and remove every pod."""
        for pod_id in self.pod_ids():
            self.stop_pod(pod_id)
            self.remove_pod(pod_id)

    def container_stats(self, container_id: str) -> api.ContainerStats:
        """CPU and memory of one container."""
        request = api.ContainerStatsRequest(container_id=container_id)
        return self.call(request, api.ContainerStatsResponse).stats

    def all_container_stats(self) -> list[api.ContainerStats]:
        """CPU and memory of every running container."""
        answer = self.call(api.ListContainerStatsRequest(), api.ListContainerStatsResponse)
        return list(answer.stats)

    def pod_stats(self, pod_id: str) -> api.PodSandboxStats:
        """CPU and memory of one pod and its containers."""
        request = api.PodSandboxStatsRequest(pod_sandbox_id=pod_id)
        return self.call(request, api.PodSandboxStatsResponse).stats
