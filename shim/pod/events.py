"""Forwards task events to containerd: one at a time, in order, until each is taken.

Rules: an event that cannot be delivered is tried again before any later one is (protocol:
containerd pkg/shim/publisher.go lets later ones overtake; we do not); nobody waits for a delivery;
the queue is bounded and drops its oldest event, with a log line. type_url is the bare message
name, as containerd 1.6 needs.
"""

import asyncio
import contextlib
import time
from collections import deque
from typing import cast

import structlog
from google.protobuf.message import Message

from shim.api import events_pb2
from shim.errdefs import ShimError
from shim.ttrpc.connection import ClientConnection, ResponseReceived

_SERVICE = "containerd.services.events.ttrpc.v1.Events"
_MAX_QUEUED = 2048
_FORWARD_TIMEOUT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0

_TOPICS = {
    "TaskCreate": "/tasks/create",
    "TaskStart": "/tasks/start",
    "TaskExit": "/tasks/exit",
    "TaskDelete": "/tasks/delete",
    "TaskOOM": "/tasks/oom",
    "TaskExecAdded": "/tasks/exec-added",
    "TaskExecStarted": "/tasks/exec-started",
    "TaskPaused": "/tasks/paused",
    "TaskResumed": "/tasks/resumed",
    "TaskCheckpointed": "/tasks/checkpointed",
}

_log = structlog.get_logger()


class Publisher:
    """The queue of one pod shim."""

    def __init__(self, address: str, namespace: str) -> None:
        self._address = address.removeprefix("unix://")
        self._namespace = namespace
        self._queue: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._link: _Link | None = None

    def publish(self, event: Message) -> None:
        """Queue an event; its topic and timestamp are added here."""
        name = event.DESCRIPTOR.name
        request = events_pb2.ForwardRequest()
        envelope = request.envelope
        envelope.timestamp.FromNanoseconds(time.time_ns())
        envelope.namespace = self._namespace
        envelope.topic = _TOPICS[name]
        envelope.event.type_url = event.DESCRIPTOR.full_name
        envelope.event.value = event.SerializeToString()
        if len(self._queue) >= _MAX_QUEUED:
            _log.warning("event dropped: the queue is full", address=self._address)
            self._queue.popleft()
        self._queue.append(request.SerializeToString())
        self._empty.clear()
        self._wake.set()

    async def run(self) -> None:
        """Deliver for ever."""
        pause_s = _FIRST_PAUSE_S
        while True:
            while not self._queue:
                self._empty.set()
                self._wake.clear()
                await self._wake.wait()
            payload = self._queue[0]
            try:
                await self._forward(payload)
            except OSError as error:
                self._disconnect()
                _log.info("containerd takes no events, trying again", error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            except ShimError as error:
                # It fits no frame, now and for ever; the events behind it must not pay for that.
                self._disconnect()
                _log.warning("event dropped: it cannot be sent", error=str(error))
            pause_s = _FIRST_PAUSE_S
            if self._queue and self._queue[0] is payload:
                self._queue.popleft()

    async def drain(self, timeout_s: float) -> None:
        """Wait until everything is delivered, but not for ever."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_s)

    async def _forward(self, payload: bytes) -> None:
        if self._link is None or self._link.is_lost:
            loop = asyncio.get_running_loop()
            _, self._link = await loop.create_unix_connection(_Link, self._address)
        response = await self._link.forward(payload)
        if response.code:
            # It answered, so it will answer the same again: no reason to hold the rest back.
            _log.warning("containerd refused an event", reason=response.message)

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


class _Link(asyncio.Protocol):
    """One connection to containerd, for one call at a time.

    No streams and no `wait_for`: their code would be in the memory of every pod shim.
    """

    def __init__(self) -> None:
        self._codec = ClientConnection()
        self._transport: asyncio.Transport | None = None
        self._stream_id = 0
        self._answer: asyncio.Future[ResponseReceived] | None = None
        self.is_lost = False

    async def forward(self, payload: bytes) -> ResponseReceived:
        """What containerd answers.

        Raises:
            OSError: the connection was lost, or is silent for too long.
            ShimError: the payload fits no frame.
        """
        if self._transport is None:
            raise ConnectionResetError("containerd closed the connection")
        loop = asyncio.get_running_loop()
        self._stream_id, data = self._codec.send_request(_SERVICE, "Forward", payload)
        self._answer = loop.create_future()
        timer = loop.call_later(_FORWARD_TIMEOUT_S, self._fail, "containerd does not answer")
        self._transport.write(data)
        try:
            return await self._answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for response in self._codec.receive_data(data):
            answer = self._answer if response.stream_id == self._stream_id else None
            if answer is not None and not answer.done():
                answer.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.is_lost = True
        self._transport = None
        self._fail("containerd closed the connection")

    def _fail(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(reason))
