"""The ttrpc server on a real socket, with a service that fails as a test wants."""

import asyncio
import os
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from shim import errdefs, sockets
from shim.pod.dispatch import Dispatcher
from shim.pod.server import TtrpcServer
from shim.ttrpc.codes import Code
from shim.ttrpc.connection import ClientConnection, ResponseReceived
from shim.ttrpc.frame import MAX_MESSAGE_BYTES, Frame, encode_frame

SERVICE = "containerd.task.v2.Task"
KINDS = [kind for kind in vars(errdefs).values() if isinstance(kind, type)]


class FakeDispatcher:
    """Answers with the method's name, fails with `fails`, or waits for `may_answer`."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.may_answer = asyncio.Event()

    async def call(self, service: str, method: str, payload: bytes) -> bytes:
        if method == "Wait":
            await self.may_answer.wait()
        if self.fails is not None:
            raise self.fails
        if method == "Huge":
            return b"x" * (MAX_MESSAGE_BYTES + 1)
        return method.encode() + payload


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._codec = ClientConnection()
        self._got: dict[int, ResponseReceived] = {}

    def send(self, method: str, payload: bytes = b"") -> int:
        stream_id, data = self._codec.send_request(SERVICE, method, payload)
        self._writer.write(data)
        return stream_id

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    async def receive(self, stream_id: int) -> ResponseReceived:
        while stream_id not in self._got:
            data = await self._reader.read(1 << 16)
            assert data, "the connection ended"
            self._got |= {r.stream_id: r for r in self._codec.receive_data(data)}
        return self._got.pop(stream_id)

    async def call(self, method: str, payload: bytes = b"") -> ResponseReceived:
        return await self.receive(self.send(method, payload))

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class Shim:
    """A server with its fake; every connection is closed at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dispatcher = FakeDispatcher()
        self.tasks: list[asyncio.Task[None]] = []
        self.server = TtrpcServer(cast("Dispatcher", self.dispatcher), self._spawn)
        self.clients: list[Client] = []

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_unix_connection(self.path))
        self.clients.append(client)
        return client


def with_shim(tmp_path: Path, scenario: Callable[[Shim], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        shim = Shim(tmp_path / "s")
        listener = sockets.listen(shim.path)
        await shim.server.serve(listener)
        try:
            await asyncio.wait_for(scenario(shim), 10)
        finally:
            for client in shim.clients:
                await client.close()
            for task in shim.tasks:
                task.cancel()
            await asyncio.gather(*shim.tasks, return_exceptions=True)
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    asyncio.run(run())


def test_call_is_answered(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        answer = await client.call("State", b"payload")
        assert (answer.code, answer.payload) == (0, b"Statepayload")

    with_shim(tmp_path, scenario)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_error_becomes_code_and_text(tmp_path: Path, kind: type[errdefs.ShimError]) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        shim.dispatcher.fails = kind("this is why")
        answer = await client.call("State")
        assert (answer.code != 0, answer.message, answer.payload) == (True, "this is why", b"")
        assert (answer.code == Code.UNKNOWN) == (kind is errdefs.ShimError)

    with_shim(tmp_path, scenario)


def test_error_that_nobody_expected_is_unknown_and_harms_nobody(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        shim.dispatcher.fails = ZeroDivisionError("oh")
        answer = await client.call("State")
        assert (answer.code, answer.message) == (
            Code.UNKNOWN,
            "internal error: ZeroDivisionError: oh",
        )
        shim.dispatcher.fails = None
        assert (await client.call("State")).code == 0

    with_shim(tmp_path, scenario)


def test_error_with_an_endless_text_is_cut(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        shim.dispatcher.fails = errdefs.InternalError("é" * (5 << 20))
        answer = await client.call("State")
        assert answer.code == Code.INTERNAL
        assert 1000 < len(answer.message.encode()) < 1 << 20

    with_shim(tmp_path, scenario)


def test_answer_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        assert (await client.call("Huge")).code == Code.RESOURCE_EXHAUSTED
        assert (await client.call("State")).code == 0

    with_shim(tmp_path, scenario)


def test_calls_of_one_connection_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        waiting = [client.send("Wait") for _ in range(20)]
        assert (await client.call("State")).payload == b"State"
        shim.dispatcher.may_answer.set()
        for stream_id in waiting:
            assert (await client.receive(stream_id)).payload == b"Wait"

    with_shim(tmp_path, scenario)


def test_connections_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        first, second = await shim.connect(), await shim.connect()
        first.send("Wait")
        assert (await second.call("State")).code == 0

    with_shim(tmp_path, scenario)


@pytest.mark.parametrize(
    "junk",
    [
        encode_frame(Frame(2, 1, 0, b"")),
        encode_frame(Frame(1, 1, 0, b"\xff\xff")),
        encode_frame(Frame(1, 3, 0, b"data")),
        encode_frame(Frame(1, 77, 255, b"?")),
        encode_frame(Frame(1, 2, 0, b"a response")),
        struct.pack(">IIBB", MAX_MESSAGE_BYTES + 1, 1, 1, 0) + b"x" * (MAX_MESSAGE_BYTES + 1),
    ],
    ids=["even", "undecodable", "data", "unknown", "response", "oversized"],
)
def test_hostile_frame_does_not_end_the_connection(tmp_path: Path, junk: bytes) -> None:
    async def scenario(shim: Shim) -> None:
        client = await shim.connect()
        client.send_raw(junk)
        # The first id may be used up by the junk.
        client.send("State")
        assert (await client.call("State")).code == 0

    with_shim(tmp_path, scenario)


def test_answer_to_a_client_that_has_gone_is_dropped(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        client, other = await shim.connect(), await shim.connect()
        client.send("Wait")
        await other.call("State")
        await client.close()
        shim.dispatcher.may_answer.set()
        assert (await other.call("State")).code == 0
        await asyncio.gather(*shim.tasks)

    with_shim(tmp_path, scenario)


def test_connections_are_counted(tmp_path: Path) -> None:
    async def scenario(shim: Shim) -> None:
        before = shim.server.last_change
        client = await shim.connect()
        await client.call("State")
        assert shim.server.connections == 1
        await client.close()
        await asyncio.sleep(0.02)
        assert shim.server.connections == 0
        assert shim.server.last_change >= before

    with_shim(tmp_path, scenario)


def test_connection_of_another_user_is_closed_unheard() -> None:
    async def scenario(shim: Shim) -> None:
        # Whoever was let to connect, by a wrong mode, must still not be served.
        shim.path.chmod(0o666)
        program = (
            "import os, socket, sys\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])\n"
            "print(s.recv(1))\n"
        )
        process = subprocess.Popen(  # noqa: ASYNC220 (a child that is waited for below)
            [sys.executable, "-c", program, shim.path], stdout=subprocess.PIPE, text=True
        )
        while process.poll() is None:  # noqa: ASYNC110 (it is another process)
            await asyncio.sleep(0.01)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.read() == "b''\n"
        assert shim.server.connections == 0

    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        with_shim(Path(directory), scenario)


def test_listener_is_a_unix_socket(tmp_path: Path) -> None:
    with sockets.listen(tmp_path / "s") as listener:
        assert listener.family == socket.AF_UNIX
        assert os.get_inheritable(listener.fileno()) is False
