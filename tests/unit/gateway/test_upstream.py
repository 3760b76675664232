"""The gateway's calling end, against a server that answers as a test wants."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from shim.errdefs import ResourceExhaustedError, UnavailableError
from shim.gateway.upstream import Upstream
from shim.ttrpc.connection import Refused, RequestReceived, ServerConnection
from shim.ttrpc.frame import MAX_MESSAGE_BYTES

TIMEOUT_S = 10.0


class Shim:
    """A pod shim: answers `echo` at once, and everything else when it is told to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ended = asyncio.Event()
        self.calls: list[RequestReceived] = []
        self.connections = 0
        self.arrived = asyncio.Condition()
        self._writers: list[asyncio.StreamWriter] = []
        self._codec = ServerConnection()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Shim":
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    def answer(self, call: RequestReceived, payload: bytes = b"") -> None:
        self._writers[-1].write(self._codec.send_response(call.stream_id, payload))

    def fail(self, call: RequestReceived, code: int, text: str) -> None:
        self._writers[-1].write(self._codec.send_error(call.stream_id, code, text))

    async def received(self, count: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.calls) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self.connections += 1
        self._codec = ServerConnection()
        while data := await reader.read(1 << 16):
            for event in self._codec.receive_data(data):
                assert not isinstance(event, Refused)
                async with self.arrived:
                    self.calls.append(event)
                    self.arrived.notify_all()
                if event.method == "echo":
                    self.answer(event, event.payload)
        writer.close()


@contextlib.asynccontextmanager
async def world(tmp_path: Path, idle_s: float = 60.0) -> AsyncIterator[tuple[Shim, Upstream]]:
    async with Shim(tmp_path / "s") as shim:
        upstream = Upstream(shim.path, shim.ended.set, idle_s)
        yield shim, upstream
        upstream.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        await asyncio.wait_for(test(), TIMEOUT_S)

    asyncio.run(in_time())


def test_call_passes_everything_on(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as (shim, upstream):
            answer = await upstream.call("a.B", "echo", b"\0x", 7)
            call = shim.calls[0]
            assert (call.service, call.method, call.timeout_ns) == ("a.B", "echo", 7)
            assert (answer.code, answer.payload) == (0, b"\0x")
            failing = asyncio.create_task(upstream.call("a.B", "fail", b"", 0))
            await shim.received(2)
            shim.fail(shim.calls[1], 5, "not here")
            answer = await failing
            assert (answer.code, answer.message) == (5, "not here")
            assert not shim.ended.is_set()

    run(test)


def test_calls_share_one_connection_and_are_answered_in_any_order(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as (shim, upstream):
            calls = [
                asyncio.create_task(upstream.call("a.B", "wait", b"%d" % number, 0))
                for number in range(100)
            ]
            await shim.received(100)
            assert (await upstream.call("a.B", "echo", b"now", 0)).payload == b"now"
            for call in reversed(shim.calls[:100]):
                shim.answer(call, call.payload)
            answers = await asyncio.gather(*calls)
            assert [answer.payload for answer in answers] == [b"%d" % n for n in range(100)]
            assert shim.connections == 1

    run(test)


def test_call_that_is_given_up_frees_its_place(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as (shim, upstream):
            given_up = asyncio.create_task(upstream.call("a.B", "wait", b"", 0))
            await shim.received(1)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            shim.answer(shim.calls[0], b"too late")
            assert (await upstream.call("a.B", "echo", b"next", 0)).payload == b"next"

    run(test)


def test_connection_without_calls_is_closed_and_made_anew(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path, idle_s=0.01) as (shim, upstream):
            waiting = asyncio.create_task(upstream.call("a.B", "wait", b"", 0))
            await shim.received(1)
            await upstream.call("a.B", "echo", b"", 0)
            await asyncio.sleep(0.05)
            assert shim.connections == 1
            shim.answer(shim.calls[0])
            await waiting
            await asyncio.sleep(0.05)
            await upstream.call("a.B", "echo", b"", 0)
            assert shim.connections == 2
            assert not shim.ended.is_set()

    run(test)


def test_connection_that_the_shim_closes_is_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as (shim, upstream):
            waiting = asyncio.create_task(upstream.call("a.B", "wait", b"", 0))
            await shim.received(1)
            shim.hang_up()
            with pytest.raises(UnavailableError, match="went away"):
                await waiting
            await shim.ended.wait()

    run(test)


def test_call_of_a_shim_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    async def test() -> None:
        ended = asyncio.Event()
        upstream = Upstream(tmp_path / "missing", ended.set)
        with pytest.raises(UnavailableError, match="the pod's shim is gone: No such file"):
            await upstream.call("a.B", "echo", b"", 0)
        assert ended.is_set()

    run(test)


def test_call_that_is_too_long_costs_itself_alone(tmp_path: Path) -> None:
    async def test() -> None:
        async with world(tmp_path) as (shim, upstream):
            with pytest.raises(ResourceExhaustedError, match="over the limit"):
                await upstream.call("a.B", "echo", b"x" * MAX_MESSAGE_BYTES, 0)
            assert (await upstream.call("a.B", "echo", b"x", 0)).payload == b"x"
            assert not shim.ended.is_set()

    run(test)
