"""The shim's side of a Wasm instance: fork it, learn that it is ready, let it go, signal it."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Sequence
from signal import SIGKILL, SIGSYS
from typing import Self

import structlog

from shim.cgroup import Cgroup
from shim.errdefs import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    ShimError,
)
from shim.instance.child import InstanceSpec, run_instance
from shim.instance.messages import (
    ADOPTED,
    MAX_MESSAGE_BYTES,
    START,
    Failed,
    Forked,
    Message,
    Ready,
    decode,
)
from shim.process.forking import fork
from shim.process.later import close_later
from shim.process.reaper import Exit, Reaper

_EXIT_BAD_CALL = 128 + SIGSYS

_log = structlog.get_logger()


class WasmProcess:
    """One instance: a container's init, or executed in one; it is in the group of the container."""

    def __init__(
        self,
        pid: int,
        exited: asyncio.Future[Exit],
        control: socket.socket,
        cgroup: Cgroup,
        reaper: Reaper,
    ) -> None:
        self.pid = pid
        self.exited = exited
        self._control = control
        self._mount_namespace: int | None = None
        self._cgroup = cgroup
        self._reaper = reaper

    @classmethod
    async def create(
        cls, spec: InstanceSpec, stdio: Sequence[int], cgroup: Cgroup, reaper: Reaper
    ) -> Self:
        """Fork the instance and wait until it is in its jail.

        Raises:
            ShimError: why it cannot be; the process is gone then.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        begun = time.monotonic()
        pid = fork()
        if pid == 0:
            run_instance(spec, theirs, stdio)
        theirs.close()
        ours.setblocking(False)  # noqa: FBT003 (the socket API's)
        init = cls(pid, reaper.watch(pid), ours, cgroup, reaper)
        try:
            await init._until_ready(begun)
        except BaseException:
            await init.end()
            raise
        return init

    async def start(self) -> None:
        """Let the guest run.

        Raises:
            InternalError: the instance has died while it waited.
        """
        try:
            self._control.send(START)
        except OSError as error:
            raise InternalError(f"instance {self.pid} does not wait any more") from error
        finally:
            self._control.close()

    async def kill(self, signal: int, *, everything: bool) -> None:
        """Signal the instance; `everything` is the container's business.

        Raises:
            NotFoundError: it has ended.
        """
        del everything
        if not self._reaper.is_unreaped(self.pid):
            raise NotFoundError(f"instance {self.pid} has ended already")
        os.kill(self.pid, signal)

    async def release(self) -> None:
        """Let go of its mounts."""
        self._control.close()
        if self._mount_namespace is not None:
            close_later(self._mount_namespace)
            self._mount_namespace = None

    async def end(self) -> None:
        """Kill an instance that nobody is going to have, and wait for its end."""
        self._control.close()
        if self._reaper.is_unreaped(self.pid):
            os.kill(self.pid, SIGKILL)
        await asyncio.shield(self.exited)

    async def _until_ready(self, begun: float) -> None:
        message = await self._receive()
        if isinstance(message, Forked):
            await asyncio.shield(self.exited)
            self.pid, self.exited = message.pid, self._reaper.adopt(message.pid, begun)
            with contextlib.suppress(ConnectionError):
                self._control.send(ADOPTED)
            message = await self._receive()
        match message:
            case Ready(warnings=warnings):
                # As long as this is open, the instance's end does not wait for its mounts' end.
                with contextlib.suppress(OSError):
                    path = f"/proc/{self.pid}/ns/mnt"
                    self._mount_namespace = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                for warning in warnings:
                    _log.info("jail", pid=self.pid, warning=warning)
            case Failed():
                raise message.exception()
            case None:
                ended = await asyncio.shield(self.exited)
                raise self._early_end(ended)
            case _:
                raise InternalError(f"instance {self.pid} said {message} where it must be ready")

    def _early_end(self, ended: Exit) -> ShimError:
        if self._cgroup.oom_kills():
            return ResourceExhaustedError(
                "the kernel killed the instance before it was ready: the memory limit of the"
                " container (linux.resources.memory.limit) or of its pod is too small; raise it"
            )
        if ended.status == _EXIT_BAD_CALL:
            return InvalidArgumentError(
                "the seccomp profile of the container (linux.seccomp) killed the instance before"
                " it was ready: it must allow what any multi-threaded program does"
            )
        return InternalError(
            f"instance {self.pid} died before it was ready: exit status {ended.status}"
        )

    async def _receive(self) -> Message | None:
        loop = asyncio.get_running_loop()
        try:
            datagram = await loop.sock_recv(self._control, MAX_MESSAGE_BYTES)
        except ConnectionError:
            # It died with a message of ours unread.
            return None
        return decode(datagram) if datagram else None
