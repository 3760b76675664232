"""Plays through a pod's life, on nothing real: in the daemon, and in each spare that it forks.

CPython 3.11 rewrites the code that it runs, while it learns it, and every page so written is
copied in every process forked later. What the daemon has run often enough is learnt, and stays
shared. A spare plays once, while nobody waits for it, so that the pages which a pod shim writes to
anyway are its own when it becomes one: docs/performance.md. Rules: starts no thread, leaves nothing
behind, fails loudly: it is our own code on our own input.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from shim.api import task_pb2
from shim.config import Config
from shim.jail import build_plan
from shim.oci.spec import parse_spec
from shim.pod.builder import ContainerBuilder
from shim.pod.dispatch import Dispatcher
from shim.pod.events import Publisher
from shim.pod.node import Node
from shim.pod.server import TtrpcServer
from shim.process.reaper import Reaper
from shim.task.service import TaskService
from shim.ttrpc.connection import ClientConnection

_NOWHERE = "/proc/tandem"
Calls = tuple[tuple[str, Message], ...]

# A config.json as containerd writes them.
SPEC = json.dumps(
    {
        "process": {"args": ["/x.wasm"], "env": ["A=B"], "user": {"uid": 0, "gid": 0}},
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/data", "source": "/", "options": ["rbind", "ro"]}] * 8,
        "annotations": {"a": "b"},
        "linux": {
            "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount", "network")],
            "resources": {"memory": {"limit": 1 << 30}, "cpu": {"shares": 2}},
        },
    }
).encode()


# Nothing of a pod without containers succeeds but this; a failure writes to pages, the log's above
# all, that most pod shims never touch, so a spare is spared it.
_QUIET: Calls = (("Connect", task_pb2.ConnectRequest(id="x")),) * 2
_LOUD: Calls = (
    *_QUIET,
    ("Create", task_pb2.CreateTaskRequest(id="x", bundle=_NOWHERE)),
    ("Start", task_pb2.StartRequest(id="x")),
    ("State", task_pb2.StateRequest(id="x")),
    ("Wait", task_pb2.WaitRequest(id="x")),
    ("Delete", task_pb2.DeleteRequest(id="x")),
)


def rehearse(engine: Any, compatibility_key: str, *, loud: bool) -> None:
    """Play one round, with calls that fail or without."""
    calls = _LOUD if loud else _QUIET
    with _stderr_silenced():
        loop = asyncio.new_event_loop()
        build_plan(parse_spec.__wrapped__(SPEC), Path(_NOWHERE))
        loop.run_until_complete(_play_calls(engine, compatibility_key, calls))
        loop.close()


@contextlib.contextmanager
def _stderr_silenced() -> Iterator[None]:
    kept = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


async def _play_calls(engine: Any, compatibility_key: str, calls: Calls) -> None:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
        tasks.add(asyncio.get_running_loop().create_task(coroutine))

    node = Node(engine, compatibility_key, Config(), {}, "", "", Path(_NOWHERE), Reaper())
    events = Publisher(_NOWHERE, "default")
    service = TaskService(ContainerBuilder(node), events, spawn, lambda: None)
    server = TtrpcServer(Dispatcher(service), spawn)
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    transport = await server.adopt(theirs)
    client = ClientConnection()
    for method, request in calls:
        payload = request.SerializeToString()
        writer.write(client.send_request("containerd.task.v2.Task", method, payload)[1])
        client.receive_data(await reader.read(1 << 16))
    writer.close()
    transport.close()
    await asyncio.gather(*tasks)
