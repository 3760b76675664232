"""Asks containerd over its gRPC API: what image a container has, and what is in the image.

Rules: imported in leaves alone, since gRPC's core runs threads. Nothing that comes from the content
store is used before it has the size and the digest that its descriptor names. No lease is taken:
the container's image holds its blobs, and whoever removes it meanwhile gets a read that fails
cleanly (docs/decisions/0012).
Source: containerd's api/services, versions 1.6 to 2.1, which agree on what is used here.
"""

import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar, cast
from urllib.parse import quote

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from shim.api import (
    containers_pb2,
    content_pb2,
    events_pb2,
    images_pb2,
    namespaces_pb2,
    subscribe_pb2,
    version_pb2,
)
from shim.content.blobs import Blob, read_whole
from shim.content.source import unreachable
from shim.errdefs import (
    DeadlineExceededError,
    InternalError,
    NoArtifactError,
    NotFoundError,
    PermissionDeniedError,
    ShimError,
)
from shim.oci.descriptors import Descriptor
from shim.oci.media_types import is_unpacked_by_containerd

_CALL_S = 10.0
# Of the whole stream: containerd sends what lies on its own disk.
_READ_S = 120.0
# A container's spec may be large, and containerd sends content in pieces of up to 1 MiB.
_MAX_MESSAGE_BYTES = 64 << 20
_OPTIONS = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)

_Reply = TypeVar("_Reply", bound=Message)


class Client:
    """A connection to the containerd at the socket `address`, seeing one of its namespaces."""

    def __init__(self, address: str, namespace: str) -> None:
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._metadata = (("containerd-namespace", namespace),)
        self._channel = grpc.insecure_channel(f"unix:{quote(self._address)}", options=_OPTIONS)

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
        """Hang up."""
        self._channel.close()

    def version(self) -> str:
        """Which containerd it is, as it says itself: "1.7.24~ds1".

        Raises:
            ShimError: it does not answer.
        """
        method = "containerd.services.version.v1.Version/Version"
        return self._call(method, Empty(), version_pb2.VersionResponse, "version").version

    def image_of(self, container_id: str) -> str:
        """The name of the image that a container was made from.

        Raises:
            NoArtifactError: it was made from none that containerd knows.
            ShimError: containerd cannot tell.
        """
        what = f"container {container_id}"
        request = containers_pb2.GetContainerRequest(id=container_id)
        method = "containerd.services.containers.v1.Containers/Get"
        answer = self._call(method, request, containers_pb2.GetContainerResponse, what)
        if not answer.container.image:
            raise NoArtifactError(f"{what} was made from no image of containerd's")
        return answer.container.image

    def target_of(self, image: str) -> Descriptor:
        """The index or manifest that an image's name leads to.

        Raises:
            NotFoundError: there is no such image.
            ShimError: containerd cannot tell.
        """
        request = images_pb2.GetImageRequest(name=image)
        method = "containerd.services.images.v1.Images/Get"
        answer = self._call(method, request, images_pb2.GetImageResponse, f"image {image}")
        return descriptor_of(answer.image)

    def namespaces(self) -> list[str]:
        """The names of all namespaces.

        Raises:
            ShimError: containerd cannot tell.
        """
        method = "containerd.services.namespaces.v1.Namespaces/List"
        request, reply = namespaces_pb2.ListNamespacesRequest, namespaces_pb2.ListNamespacesResponse
        return [each.name for each in self._call(method, request(), reply, "namespaces").namespaces]

    def images(self) -> dict[str, Descriptor]:
        """The images of the namespace, and what their names lead to.

        Raises:
            ShimError: containerd cannot tell.
        """
        method = "containerd.services.images.v1.Images/List"
        request, reply = images_pb2.ListImagesRequest(), images_pb2.ListImagesResponse
        found = self._call(method, request, reply, "images").images
        return {image.name: descriptor_of(image) for image in found}

    def image_events(self) -> Iterator[str]:
        """The topic of each change of an image, in whatever namespace, for ever.

        Raises:
            ShimError: containerd went away, or cannot tell.
        """
        stub = self._channel.unary_stream(
            "/containerd.services.events.v1.Events/Subscribe",
            request_serializer=subscribe_pb2.SubscribeRequest.SerializeToString,
            response_deserializer=events_pb2.Envelope.FromString,
        )
        filters = [f'topic=="/images/{verb}"' for verb in ("create", "update", "delete")]
        stream = stub(subscribe_pb2.SubscribeRequest(filters=filters), metadata=self._metadata)
        try:
            for envelope in stream:
                yield envelope.topic
        except grpc.RpcError as error:
            raise self._error(error, "events") from error

    def read(self, descriptor: Descriptor) -> bytes:
        """A blob, whole and verified.

        Raises:
            NotFoundError: the content store does not have it.
            InvalidArgumentError: what it has is not what the descriptor names.
            ShimError: containerd cannot tell.
        """
        with contextlib.closing(self.open(descriptor)) as blob:
            return read_whole(blob, descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """A blob as a file to read from, not verified, but never longer than the descriptor says.

        Raises:
            ShimError: from `read`, as above.
        """
        return cast("BinaryIO", Blob(self._chunks(descriptor), descriptor))

    def _chunks(self, descriptor: Descriptor) -> Iterator[bytes]:
        stub = self._channel.unary_stream(
            "/containerd.services.content.v1.Content/Read",
            request_serializer=content_pb2.ReadContentRequest.SerializeToString,
            response_deserializer=content_pb2.ReadContentResponse.FromString,
        )
        request = content_pb2.ReadContentRequest(digest=descriptor.digest)
        stream = stub(request, timeout=_READ_S, metadata=self._metadata)
        try:
            for answer in stream:
                yield answer.data
        except grpc.RpcError as error:
            way_out = _UNFETCHED if is_unpacked_by_containerd(descriptor.media_type) else ""
            raise self._error(error, f"blob {descriptor.digest}", way_out) from error
        finally:
            stream.cancel()

    def _call(self, method: str, request: Message, reply: type[_Reply], what: str) -> _Reply:
        stub = self._channel.unary_unary(
            f"/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=reply.FromString,
        )
        try:
            answer: _Reply = stub(request, timeout=_CALL_S, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self._error(error, what) from error
        return answer

    def _error(self, error: Any, what: str, way_out: str = "") -> ShimError:
        code, details = error.code(), error.details()
        where = f"namespace {self._namespace} of the containerd at {self._address}"
        match code:
            case grpc.StatusCode.NOT_FOUND:
                kind = what.partition(" ")[0]
                way_out = way_out or _WAY_OUT.get(kind, "is it older than 1.6?")
                return NotFoundError(f"{what} is not in {where}: {way_out}")
            case grpc.StatusCode.UNAVAILABLE:
                return unreachable(self._address, details)
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return DeadlineExceededError(
                    f"{what}: the containerd at {self._address} took longer than {_CALL_S:g} s,"
                    f" or {_READ_S:g} s for a blob"
                )
            case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
                return PermissionDeniedError(
                    f"{what}: the containerd at {self._address} refuses: {details}"
                )
            case _:
                return InternalError(f"{what}: the containerd at {self._address}: {details}")


_WAY_OUT = {
    "container": "it was removed meanwhile",
    "image": "it was removed, pull it again",
    "blob": "pull the image again, or import it with all its platforms",
}
# containerd core/unpack: layers of these types wait for a config that makes them a file system.
_UNFETCHED = (
    "containerd pulls no layer of an OCI image's type where the config is not of OCI's, too; pack"
    " the files under another type, such as application/x-tar+gzip, or pull without unpacking"
)


def descriptor_of(image: images_pb2.Image) -> Descriptor:
    """What an image of containerd's leads to."""
    target = image.target
    return Descriptor(target.media_type, target.digest, target.size, dict(target.annotations))
