"""containerd's end of the events service: a ttrpc server on TTRPC_ADDRESS that records envelopes.

It answers as containerd 1.6 does: what containerd refuses is refused and kept in `refused`.
"""

import contextlib
import re
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.message import Message

from shim.api import events_pb2
from shim.ttrpc.codes import Code
from shim.ttrpc.connection import Refused, RequestReceived, ServerConnection

SERVICE = "containerd.services.events.ttrpc.v1.Events"
TOPICS: dict[str, type[Message]] = {
    "/tasks/create": events_pb2.TaskCreate,
    "/tasks/start": events_pb2.TaskStart,
    "/tasks/exit": events_pb2.TaskExit,
    "/tasks/delete": events_pb2.TaskDelete,
    "/tasks/oom": events_pb2.TaskOOM,
    "/tasks/exec-added": events_pb2.TaskExecAdded,
    "/tasks/exec-started": events_pb2.TaskExecStarted,
    "/tasks/paused": events_pb2.TaskPaused,
    "/tasks/resumed": events_pb2.TaskResumed,
    "/tasks/checkpointed": events_pb2.TaskCheckpointed,
}


@dataclass(frozen=True)
class Event:
    """One envelope as it arrived."""

    topic: str
    namespace: str
    timestamp: datetime
    message: Message

    @property
    def container_id(self) -> str:
        return str(getattr(self.message, "container_id", ""))


class EventsServer:
    """Listens from `start` to `stop`; can be started again on the same path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: list[str] = []
        self.on_event = threading.Condition()
        self._events: list[Event] = []
        self._connections: dict[socket.socket, ServerConnection] = {}
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(self.path))
        listener.listen(64)
        self._wake, woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(listener, woken))
        self._thread.start()

    def wait_until_alone(self, timeout_s: float = 3.0) -> None:
        """Wait until no shim is connected any more: one that ends delivers its last events."""
        deadline = time.monotonic() + timeout_s
        while self._connections and time.monotonic() < deadline:
            time.sleep(0.005)

    def stop(self) -> None:
        """Close every connection and remove the socket, as a containerd that ends does."""
        if self._thread is None or self._wake is None:
            return
        self._wake.close()
        self._thread.join()
        self._thread = self._wake = None
        self.path.unlink()

    def events(self, container_id: str) -> list[Event]:
        with self.on_event:
            return [event for event in self._events if event.container_id == container_id]

    def topics(self, container_id: str) -> list[str]:
        return [event.topic for event in self.events(container_id)]

    def wait_for(self, container_id: str, topic: str, timeout_s: float = 10.0) -> Event:
        """Return the first such event, waiting for it to arrive."""
        deadline = time.monotonic() + timeout_s
        while True:
            with self.on_event:
                for event in self._events:
                    if (event.container_id, event.topic) == (container_id, topic):
                        return event
                if not self.on_event.wait(deadline - time.monotonic()):
                    break
        seen = self.topics(container_id)
        raise AssertionError(f"no {topic} of {container_id} in {timeout_s} s; seen: {seen}")

    def _serve(self, listener: socket.socket, woken: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        connections = self._connections
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if woken in ready:
                break
            for fileobj in ready:
                assert isinstance(fileobj, socket.socket)
                if fileobj is listener:
                    accepted, _ = listener.accept()
                    connections[accepted] = ServerConnection()
                    selector.register(accepted, selectors.EVENT_READ)
                elif not self._answer(fileobj, connections[fileobj]):
                    selector.unregister(fileobj)
                    del connections[fileobj]
                    fileobj.close()
        for sock in (listener, woken, *connections):
            sock.close()
        connections.clear()
        selector.close()

    def _answer(self, sock: socket.socket, connection: ServerConnection) -> bool:
        try:
            data = sock.recv(1 << 16)
        except ConnectionResetError:
            return False
        for received in connection.receive_data(data):
            reply = self._reply(connection, received)
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(reply)
        return bool(data)

    def _reply(self, connection: ServerConnection, received: RequestReceived | Refused) -> bytes:
        if isinstance(received, Refused):
            self.refused.append("frame")
            return received.reply
        stream_id = received.stream_id
        if (received.service, received.method) != (SERVICE, "Forward"):
            self.refused.append(f"{received.service}/{received.method}")
            return connection.send_error(stream_id, Code.UNIMPLEMENTED, "no such method")
        try:
            self._record(events_pb2.ForwardRequest.FromString(received.payload).envelope)
        except ValueError as err:
            self.refused.append(str(err))
            return connection.send_error(stream_id, Code.INVALID_ARGUMENT, str(err))
        return connection.send_response(stream_id, b"")

    def _record(self, envelope: events_pb2.Envelope) -> None:
        event = decode_envelope(envelope)
        with self.on_event:
            self._events.append(event)
            self.on_event.notify_all()


def decode_envelope(envelope: events_pb2.Envelope) -> Event:
    """Return the event; `ValueError` for what containerd refuses or cannot decode."""
    if not re.fullmatch(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*", envelope.namespace):
        raise ValueError(f"namespace {envelope.namespace!r} is not valid")
    if not envelope.HasField("timestamp") or envelope.timestamp.ToNanoseconds() == 0:
        raise ValueError("timestamp is not set")
    if not envelope.HasField("event"):
        raise ValueError("event is not set")
    kind = TOPICS.get(envelope.topic)
    if kind is None:
        raise ValueError(f"topic {envelope.topic!r} is not known")
    # 1.6 looks type urls up as they are: "type.googleapis.com/..." cannot be decoded there.
    if envelope.event.type_url != kind.DESCRIPTOR.full_name:
        raise ValueError(f"type url {envelope.event.type_url!r} of {envelope.topic}")
    return Event(
        topic=envelope.topic,
        namespace=envelope.namespace,
        timestamp=envelope.timestamp.ToDatetime(tzinfo=UTC),
        message=kind.FromString(envelope.event.value),
    )
