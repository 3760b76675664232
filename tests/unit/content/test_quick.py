"""The short question to containerd, with someone else in its place where it has to go wrong."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from shim.api import containers_pb2, images_pb2, types_pb2
from shim.content import quick
from shim.content.source import Origin, Target
from shim.errdefs import NoArtifactError, UnavailableError
from shim.oci.descriptors import Descriptor
from tests.unit.content.test_question import GOAWAY, answer, frame

Server = Callable[[int], bytes]

CONTAINER = containers_pb2.GetContainerResponse(
    container=containers_pb2.Container(id="c", image="localhost/a:1")
).SerializeToString()
IMAGE = images_pb2.GetImageResponse(
    image=images_pb2.Image(
        name="localhost/a:1",
        target=types_pb2.Descriptor(media_type="t", digest="sha256:1", size=7),
    )
).SerializeToString()


def ask(tmp_path: Path, *answers: bytes) -> Target | None:
    """Ask somebody who gives these answers, one for whatever he reads, and then hangs up."""
    address = tmp_path / "c.sock"

    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for text in answers:
            await reader.read(1 << 16)
            writer.write(text)
        writer.close()
        await writer.wait_closed()
        over.set()

    async def run() -> Target | None:
        server = await asyncio.start_unix_server(serve, address)
        async with server:
            try:
                return await quick.ask_target(Origin(f"unix://{address}", "n", "c"))
            finally:
                await over.wait()

    return asyncio.run(run())


def test_image_and_its_target_are_asked_for(tmp_path: Path) -> None:
    found = ask(tmp_path, answer(CONTAINER), answer(IMAGE, 3))
    assert found == Target("localhost/a:1", Descriptor("t", "sha256:1", 7))


@pytest.mark.parametrize(
    "answers",
    [
        (),
        (answer(CONTAINER),),
        (frame(GOAWAY, 0, 0, bytes(8)),),
        (answer(CONTAINER), frame(1, 5, 3, b"\x88")),
        (answer(b"\xff\xff"),),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
    ],
)
def test_whatever_goes_wrong_is_asked_again_elsewhere(
    tmp_path: Path, answers: tuple[bytes, ...]
) -> None:
    assert ask(tmp_path, *answers) is None


def test_silence_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_PATIENCE_S", 0.05)
    assert ask(tmp_path, answer(CONTAINER), b"", b"") is None


def test_container_without_an_image_is_no_artifact(tmp_path: Path) -> None:
    none = containers_pb2.GetContainerResponse(container=containers_pb2.Container(id="c"))
    with pytest.raises(NoArtifactError, match="container c was made from no image"):
        ask(tmp_path, answer(none.SerializeToString()))


def test_nobody_at_the_address_is_said_with_the_address(tmp_path: Path) -> None:
    address = tmp_path / "none.sock"
    with pytest.raises(UnavailableError, match=f"{address} does not answer: No such file"):
        asyncio.run(quick.ask_target(Origin(str(address), "n", "c")))
