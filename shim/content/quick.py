"""Asks containerd what image a container has, in the pod shim's own loop: two calls, a millisecond.

Rules: never more than a shortcut: whatever goes wrong is None, and the loader asks again.
"""

import asyncio

from google.protobuf.message import DecodeError

from shim.api import containers_pb2, images_pb2
from shim.content.question import Questions, UnansweredError
from shim.content.source import Origin, Target, unreachable
from shim.errdefs import NoArtifactError, ShimError
from shim.oci.descriptors import Descriptor

_PATIENCE_S = 1.0
_READ_BYTES = 64 << 10


async def ask_target(origin: Origin) -> Target | None:
    """The image of a container; None where it has to be asked for in another way.

    Raises:
        NoArtifactError: the container was made from no image that containerd knows.
        UnavailableError: nobody listens at containerd's address.
    """
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await _ask(origin)
    except (OSError, EOFError, UnansweredError, DecodeError):
        return None


def ask_digest(origin: Origin) -> str | None:
    """The digest of what a container's image leads to, for a loader; None where nobody can tell."""
    try:
        target = asyncio.run(ask_target(origin))
    except ShimError:
        return None
    return target.descriptor.digest if target else None


async def _ask(origin: Origin) -> Target:
    address = origin.address.removeprefix("unix://")
    try:
        reader, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        raise unreachable(address, error.strerror or repr(error)) from error
    try:
        questions = Questions(origin.namespace)

        async def ask(method: str, request: bytes) -> bytes:
            writer.write(questions.ask(method, request))
            while True:
                data = await reader.read(_READ_BYTES)
                if not data:
                    raise EOFError
                answer = questions.receive(data)
                if answer is not None:
                    return answer
                writer.write(questions.take_pending())

        container = containers_pb2.GetContainerResponse.FromString(
            await ask(
                "containerd.services.containers.v1.Containers/Get",
                containers_pb2.GetContainerRequest(id=origin.container_id).SerializeToString(),
            )
        ).container
        if not container.image:
            raise NoArtifactError(f"container {container.id} was made from no image")
        target = images_pb2.GetImageResponse.FromString(
            await ask(
                "containerd.services.images.v1.Images/Get",
                images_pb2.GetImageRequest(name=container.image).SerializeToString(),
            )
        ).image.target
        return Target(container.image, Descriptor(target.media_type, target.digest, target.size))
    finally:
        writer.close()
