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

import structlog
from google.protobuf.message import Message

from shim.api import events_pb2
from shim.errdefs import ShimError
from shim.ttrpc.connection import ClientConnection

_SERVICE = "containerd.services.events.ttrpc.v1.Events"
_MAX_QUEUED = 2048
_FORWARD_TIMEOUT_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_RECEIVE_BYTES = 4096

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
        self._codec = ClientConnection()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

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
                await asyncio.wait_for(self._forward(payload), _FORWARD_TIMEOUT_S)
            except (OSError, TimeoutError) as error:
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
        if self._streams is None:
            self._codec = ClientConnection()
            self._streams = await asyncio.open_unix_connection(self._address)
        reader, writer = self._streams
        stream_id, data = self._codec.send_request(_SERVICE, "Forward", payload)
        writer.write(data)
        while True:
            received = await reader.read(_RECEIVE_BYTES)
            if not received:
                raise ConnectionResetError("containerd closed the connection")
            for response in self._codec.receive_data(received):
                if response.stream_id != stream_id:
                    continue
                if response.code:
                    # It answered, so it will answer the same again: no reason to hold the rest
                    # back.
                    _log.warning("containerd refused an event", reason=response.message)
                return

    def _disconnect(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
