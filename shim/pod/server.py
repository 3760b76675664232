"""The ttrpc server of a pod shim: asyncio around the codec of `shim.ttrpc`.

Rules: every request has a task of its own, since Wait lasts as long as its container; one bad
request never ends a connection, and no idle connection is closed here (containerd takes that for
the shim's death); peers must run as our own user.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

import structlog

from shim import sockets
from shim.errdefs import ShimError
from shim.pod.dispatch import Dispatcher
from shim.pod.status import code_of
from shim.ttrpc.connection import Refused, RequestReceived, ServerConnection

Spawn = Callable[[Coroutine[Any, Any, None]], None]

_log = structlog.get_logger()


class TtrpcServer:
    """All connections of one pod shim."""

    def __init__(self, dispatcher: Dispatcher, spawn: Spawn) -> None:
        self.dispatcher = dispatcher
        self.spawn = spawn
        self._transports: set[asyncio.BaseTransport] = set()
        self._loop = asyncio.get_running_loop()
        self.last_change = self._loop.time()

    async def serve(self, listener: socket.socket) -> None:
        """Accept for ever; returns as soon as it listens."""
        await self._loop.create_unix_server(lambda: _Connection(self), sock=listener)

    async def adopt(self, connected: socket.socket) -> asyncio.BaseTransport:
        """Serve one connection that is made already."""
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: _Connection(self), connected
        )
        return transport

    def close_connections(self) -> None:
        """Close all of them, each when what is written has left."""
        for transport in tuple(self._transports):
            transport.close()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._transports)

    def came(self, transport: asyncio.BaseTransport) -> None:
        """A connection was made."""
        self._transports.add(transport)
        self.last_change = self._loop.time()

    def went(self, transport: asyncio.BaseTransport) -> None:
        """A connection was lost."""
        self._transports.discard(transport)
        self.last_change = self._loop.time()


class _Connection(asyncio.Protocol):
    def __init__(self, server: TtrpcServer) -> None:
        self._server = server
        self._codec = ServerConnection()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._server.came(transport)
        _, uid = sockets.peer(transport.get_extra_info("socket"))
        if uid != os.geteuid():
            _log.warning("connection of another user refused", uid=uid)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._transport is not None:
            self._server.went(self._transport)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        for event in self._codec.receive_data(data):
            match event:
                case Refused(reply=reply):
                    self._write(reply)
                case RequestReceived():
                    self._server.spawn(self._serve(event))

    async def _serve(self, request: RequestReceived) -> None:
        try:
            payload = await self._server.dispatcher.call(
                request.service, request.method, request.payload
            )
        except ShimError as error:
            _log.info("call refused", method=request.method, error=str(error))
            reply = self._codec.send_error(request.stream_id, code_of(error), str(error))
        except Exception as error:  # noqa: BLE001 (one bad call must not end the connection)
            _log.exception("call failed", method=request.method)
            text = f"internal error: {type(error).__name__}: {error}"
            reply = self._codec.send_error(request.stream_id, code_of(error), text)
        else:
            reply = self._codec.send_response(request.stream_id, payload)
        self._write(reply)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
