"""The pod shim: one process per pod, forked from the daemon, one thread, one event loop.

Composition root of the serving side: builds everything by constructor, serves until the last
container is gone and Shutdown was called, or until nobody has wanted anything of it for a while.
Rules: it never returns into the daemon's code; it ignores the signals that a node's stop sends
around, because pods outlive containerd and the daemon.
"""

import asyncio
import gc
import os
import select
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from shim import sockets
from shim.cgroup import membership
from shim.engine.config import compatibility_key, new_engine
from shim.engine.linkers import prepare_linkers
from shim.jail import compile_filters
from shim.jail.names import resolve_without_plugins
from shim.kernel.constants import PR_SET_CHILD_SUBREAPER
from shim.kernel.libc import LINUX
from shim.pod import logs
from shim.pod.builder import ContainerBuilder
from shim.pod.dispatch import Dispatcher
from shim.pod.events import Publisher
from shim.pod.node import Node
from shim.pod.params import Pod
from shim.pod.rehearsal import rehearse
from shim.pod.server import TtrpcServer
from shim.process.reaper import Reaper
from shim.rundir import gateway_socket
from shim.task.service import TaskService

_log = structlog.get_logger()

_DRAIN_S = 5.0
# An instruction is specialised at its eighth run or so; a round runs most more than once.
_REHEARSALS = 6
# A shim without containers and without connections is one that containerd has lost.
_IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Host:
    """What is made once per node, in the daemon, and inherited by every pod shim."""

    engine: Any
    compatibility_key: str

    @classmethod
    def prepare(cls) -> "Host":
        """Make it; starts no thread."""
        compile_filters(None)
        membership.home()
        resolve_without_plugins()
        logs.configure()
        host = cls(new_engine(), compatibility_key())
        prepare_linkers(host.engine)
        for _ in range(_REHEARSALS):
            rehearse(host.engine, host.compatibility_key, loud=True)
        return host

    def rehearse(self) -> None:
        """Touch the pages that a pod shim is going to write to."""
        rehearse(self.engine, self.compatibility_key, loud=False)


def run_pod(pod: Pod, host: Host) -> None:
    """Be the pod's shim; returns when the pod is over."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    LINUX.prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Bundles come and go; this process must not hold one, nor anything of the launcher's.
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for to in (0, 1, 2):
        os.dup2(null, to, inheritable=False)
    os.close(null)
    logs.move_to_fifo(pod.bundle, pod=pod.group[:12])
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(PodShim(pod, host, loop).run())


class PodShim:
    """All parts of one pod shim."""

    def __init__(self, pod: Pod, host: Host, loop: asyncio.AbstractEventLoop) -> None:
        self._pod = pod
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._reaper = Reaper()
        self._events = Publisher(pod.ttrpc_address, pod.namespace)
        node = Node(
            engine=host.engine,
            compatibility_key=host.compatibility_key,
            config=pod.config,
            env=pod.env,
            address=pod.address,
            namespace=pod.namespace,
            oci_runtime_root=pod.run_dir.oci_runtime_root(pod.namespace),
            reaper=self._reaper,
        )
        self._service = TaskService(
            ContainerBuilder(node), self._events, self._spawn, self._shut_down
        )

    async def run(self) -> None:
        """Serve until the pod is over, then remove the socket and deliver what is queued."""
        self._reaper.install(self._loop)
        self._server = server = TtrpcServer(Dispatcher(self._service), self._spawn)
        await server.serve(self._pod.listener)
        self._spawn(self._events.run())
        self._spawn(self._end_when_idle(server))
        gc.freeze()
        await self._over.wait()
        await self._events.drain(_DRAIN_S)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something beside the rest; what it raises is logged, not lost."""
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.error("task failed", exc_info=task.exception())

    def _shut_down(self) -> None:
        """End soon: the answer to Shutdown still has to leave."""
        # In this order: whoever binds the pod's socket anew has a gateway of its own.
        gateway_socket(self._pod.socket_path).unlink(missing_ok=True)
        self._pod.socket_path.unlink(missing_ok=True)
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        # containerd waits for the end of its connection, not for that of this process.
        self._server.close_connections()
        self._over.set()

    async def _end_when_idle(self, server: TtrpcServer) -> None:
        while True:
            await asyncio.sleep(_IDLE_S / 2)
            with sockets.locked(self._pod.run_dir):
                idle_s = self._loop.time() - server.last_change
                if server.connections or not self._service.is_empty or idle_s < _IDLE_S:
                    continue
                # Somebody has found this shim alive and is not accepted yet.
                if select.select([self._pod.listener], [], [], 0)[0]:
                    continue
                _log.info("nobody needs this shim any more")
                self._shut_down()
                return
