"""Events reach containerd in order, each once taken, whatever containerd does meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from shim.api import events_pb2
from shim.pod.events import Publisher
from shim.ttrpc.codes import Code
from shim.ttrpc.connection import RequestReceived, ServerConnection


class Containerd:
    """The events service; `refuse` and `answers` are what a test makes of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received: list[events_pb2.Envelope] = []
        self.attempts = 0
        self.refuse = False
        self.answers = True
        self.close_instead = 0
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def ids(self) -> list[str]:
        return [
            events_pb2.TaskStart.FromString(envelope.event.value).container_id
            for envelope in self.received
        ]

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        self._writers.clear()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        codec = ServerConnection()
        while data := await reader.read(4096):
            for request in codec.receive_data(data):
                assert isinstance(request, RequestReceived)
                assert (request.service, request.method) == (
                    "containerd.services.events.ttrpc.v1.Events",
                    "Forward",
                )
                self.attempts += 1
                if self.close_instead:
                    self.close_instead -= 1
                    writer.close()
                    return
                if self.answers:
                    writer.write(self._reply(codec, request))

    def _reply(self, codec: ServerConnection, request: RequestReceived) -> bytes:
        if self.refuse:
            return codec.send_error(request.stream_id, Code.INVALID_ARGUMENT, "no")
        self.received.append(events_pb2.ForwardRequest.FromString(request.payload).envelope)
        return codec.send_response(request.stream_id, b"")


Scenario = Callable[[Containerd, Publisher], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    monkeypatch.setattr("shim.pod.events._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("shim.pod.events._LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr("shim.pod.events._FORWARD_TIMEOUT_S", 0.2)

    async def run(scenario: Scenario) -> None:
        containerd = Containerd(tmp_path / "e.sock")
        publisher = Publisher(f"unix://{containerd.path}", "k8s.io")
        running = asyncio.create_task(publisher.run())
        try:
            await asyncio.wait_for(scenario(containerd, publisher), 5)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            publisher._disconnect()
            await containerd.stop()

    return lambda scenario: asyncio.run(run(scenario))


def publish(publisher: Publisher, *names: object) -> None:
    for name in names:
        publisher.publish(events_pb2.TaskStart(container_id=str(name), pid=1))


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 (the other side has no event to wait for)
        await asyncio.sleep(0.005)


Play = Callable[[Scenario], None]


def test_event_has_topic_type_namespace_and_time(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        await containerd.start()
        publish(publisher, "c")
        await publisher.drain(2)
        (envelope,) = containerd.received
        assert (envelope.topic, envelope.namespace) == ("/tasks/start", "k8s.io")
        assert envelope.event.type_url == "containerd.events.TaskStart"
        assert envelope.timestamp.ToNanoseconds() > 1_600_000_000 * 10**9

    play(scenario)


def test_every_task_event_has_a_topic(play: Play) -> None:
    kinds = [
        kind
        for name, kind in vars(events_pb2).items()
        if name.startswith("Task") and name != "TaskIO"
    ]
    assert len(kinds) >= 4

    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        await containerd.start()
        for kind in kinds:
            publisher.publish(kind())
        await publisher.drain(2)
        assert len({envelope.topic for envelope in containerd.received}) == len(kinds)

    play(scenario)


def test_events_keep_their_order(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        await containerd.start()
        publish(publisher, *range(100))
        await publisher.drain(2)
        assert containerd.ids == [str(n) for n in range(100)]

    play(scenario)


def test_events_wait_for_containerd_and_keep_their_order(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        publish(publisher, 1, 2)
        await asyncio.sleep(0.05)
        publish(publisher, 3)
        await containerd.start()
        await publisher.drain(2)
        assert containerd.ids == ["1", "2", "3"]

    play(scenario)


def test_event_is_tried_again_when_containerd_restarts(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        await containerd.start()
        publish(publisher, 1)
        await publisher.drain(2)
        await containerd.stop()
        publish(publisher, 2, 3)
        await asyncio.sleep(0.05)
        await containerd.start()
        await publisher.drain(2)
        assert containerd.ids == ["1", "2", "3"]

    play(scenario)


def test_event_is_tried_again_when_the_connection_breaks(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        containerd.close_instead = 2
        await containerd.start()
        publish(publisher, 1, 2)
        await publisher.drain(2)
        assert containerd.ids == ["1", "2"]
        assert containerd.attempts == 4

    play(scenario)


def test_event_is_tried_again_when_containerd_does_not_answer(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        containerd.answers = False
        await containerd.start()
        publish(publisher, 1)
        await until(lambda: containerd.attempts >= 2)
        containerd.answers = True
        await publisher.drain(2)
        assert containerd.ids == ["1"]

    play(scenario)


def test_event_that_is_refused_holds_nothing_back(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        containerd.refuse = True
        await containerd.start()
        publish(publisher, 1)
        await publisher.drain(2)
        containerd.refuse = False
        publish(publisher, 2)
        await publisher.drain(2)
        assert containerd.ids == ["2"]
        assert containerd.attempts == 2

    play(scenario)


def test_event_that_fits_no_frame_holds_nothing_back(play: Play) -> None:
    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        await containerd.start()
        publish(publisher, "x" * (5 << 20), "small")
        await publisher.drain(2)
        assert containerd.ids == ["small"]

    play(scenario)


def test_queue_drops_its_oldest_event(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shim.pod.events._MAX_QUEUED", 3)

    async def scenario(containerd: Containerd, publisher: Publisher) -> None:
        publish(publisher, *range(5))
        await asyncio.sleep(0.03)
        publish(publisher, 5)
        await containerd.start()
        await publisher.drain(2)
        assert containerd.ids == ["3", "4", "5"]

    play(scenario)


def test_drain_returns_at_once_without_events_and_gives_up_without_containerd(play: Play) -> None:
    async def timed(waits: Awaitable[None]) -> float:
        begun = asyncio.get_running_loop().time()
        await waits
        return asyncio.get_running_loop().time() - begun

    async def scenario(_: Containerd, publisher: Publisher) -> None:
        assert await timed(publisher.drain(2)) < 0.5
        publish(publisher, 1)
        assert 0.05 < await timed(publisher.drain(0.1)) < 1

    play(scenario)
