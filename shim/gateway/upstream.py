"""The gateway's calling end: one ttrpc connection to the pod shim, every call in flight at once.

Rules: bytes in, bytes out; a call that its caller gives up frees its place here, and a late answer
is dropped, since ttrpc knows no cancellation; the connection is closed after a while without calls,
so that a pod shim which nobody needs can see that and end. A connection that the other side closes
is the end of the pod: a pod shim never closes an idle one.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from shim.errdefs import UnavailableError
from shim.ttrpc.connection import ClientConnection, ResponseReceived

_IDLE_S = 5.0


class Upstream:
    """Calls the pod shim at `path`; `on_end` is called once, when that is over."""

    def __init__(self, path: Path, on_end: Callable[[], None], idle_s: float = _IDLE_S) -> None:
        self._path = path
        self._on_end = on_end
        self._idle_s = idle_s
        self._connecting = asyncio.Lock()
        self._link: _Link | None = None
        self._closing: asyncio.TimerHandle | None = None

    async def call(
        self, service: str, method: str, payload: bytes, timeout_ns: int
    ) -> ResponseReceived:
        """The answer, whatever its code.

        Raises:
            UnavailableError: the pod shim is gone, or goes before it answers.
            ResourceExhaustedError: the request is longer than ttrpc allows.
        """
        link = await self._connected()
        if self._closing is not None:
            self._closing.cancel()
        try:
            return await link.call(service, method, payload, timeout_ns)
        finally:
            if link.is_idle:
                loop = asyncio.get_running_loop()
                self._closing = loop.call_later(self._idle_s, self._close_if_idle)

    def close(self) -> None:
        """Hang up; calls in flight fail."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _connected(self) -> "_Link":
        async with self._connecting:
            if self._link is None:
                loop = asyncio.get_running_loop()
                try:
                    _, self._link = await loop.create_unix_connection(
                        lambda: _Link(self._lost), str(self._path)
                    )
                except OSError as error:
                    self._on_end()
                    raise UnavailableError(f"the pod's shim is gone: {error.strerror}") from error
            return self._link

    def _close_if_idle(self) -> None:
        if self._link is not None and self._link.is_idle:
            self.close()

    def _lost(self) -> None:
        self._link = None
        self._on_end()


class _Link(asyncio.Protocol):
    """One connection; `on_lost` is called if the other side ends it."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._codec = ClientConnection()
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._waiting: dict[int, asyncio.Future[ResponseReceived]] = {}

    @property
    def is_idle(self) -> bool:
        return not self._waiting

    async def call(
        self, service: str, method: str, payload: bytes, timeout_ns: int
    ) -> ResponseReceived:
        if self._is_over or self._transport is None:
            raise UnavailableError("the pod's shim is gone")
        stream_id, data = self._codec.send_request(service, method, payload, timeout_ns)
        future: asyncio.Future[ResponseReceived] = asyncio.get_running_loop().create_future()
        self._waiting[stream_id] = future
        self._transport.write(data)
        try:
            return await future
        finally:
            self._waiting.pop(stream_id, None)

    def close(self) -> None:
        self._is_over = True
        self._fail_all()
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for answer in self._codec.receive_data(data):
            future = self._waiting.get(answer.stream_id)
            if future is not None and not future.done():
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        if self._is_over:
            return
        self._is_over = True
        self._fail_all()
        self._on_lost()

    def _fail_all(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnavailableError("the pod's shim went away"))
