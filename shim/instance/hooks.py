"""The OCI hooks of a Wasm container, which no OCI runtime runs for it.

nerdctl and Docker set up a container's network by them. Rules: they run in the node's namespaces,
with the container's state on their stdin; `prestart` and `createRuntime` run when the instance is
in its jail, whose namespaces are there then, and their failure is Create's; that of the later ones
is logged. What runs inside the container before its program does has nothing to run in: a spec that
asks for it is refused. Source: runtime-spec config.md "POSIX-platform Hooks", runtime.md "State".
"""

import asyncio
import contextlib
import json
import os
import signal

import structlog

from shim.errdefs import InternalError, UnimplementedError
from shim.oci.spec import Hook, Spec
from shim.process.reaper import Reaper

_BEFORE_START = ("prestart", "createRuntime")
_INSIDE = ("createContainer", "startContainer")
_OCI_VERSION = "1.0.2"

_log = structlog.get_logger()


def check_hooks(spec: Spec) -> None:
    """Refuse hooks that a Wasm container cannot have.

    Raises:
        UnimplementedError: which they are.
    """
    for stage in _INSIDE:
        if stage in spec.hooks:
            raise UnimplementedError(
                f"hooks.{stage} runs inside the container, which a Wasm container has no program"
                " for; use createRuntime"
            )


def state_document(spec: Spec, container_id: str, bundle: str, status: str, pid: int = 0) -> bytes:
    """The container's state, as a hook reads it."""
    state: dict[str, object] = {"ociVersion": _OCI_VERSION, "id": container_id, "status": status}
    state |= {"pid": pid} if pid else {}
    state |= {"bundle": bundle, "annotations": dict(spec.annotations)}
    return json.dumps(state, separators=(",", ":")).encode()


class Hooks:
    """The hooks of one container."""

    def __init__(self, spec: Spec, container_id: str, bundle: str, reaper: Reaper) -> None:
        self._spec = spec
        self._id = container_id
        self._bundle = bundle
        self._reaper = reaper

    async def created(self, pid: int) -> None:
        """Run what runs before the start.

        Raises:
            InternalError: one of them failed.
        """
        for stage in _BEFORE_START:
            for hook in self._spec.hooks.get(stage, ()):
                await self._run(stage, hook, self._state("created", pid))

    async def started(self, pid: int) -> None:
        """Run what runs after the start."""
        await self._try_all("poststart", self._state("running", pid))

    async def stopped(self) -> None:
        """Run what runs after the end."""
        await self._try_all("poststop", self._state("stopped"))

    def _state(self, status: str, pid: int = 0) -> bytes:
        return state_document(self._spec, self._id, self._bundle, status, pid)

    async def _try_all(self, stage: str, state: bytes) -> None:
        for hook in self._spec.hooks.get(stage, ()):
            try:
                await self._run(stage, hook, state)
            except InternalError as error:
                _log.warning("hook failed", error=str(error))

    async def _run(self, stage: str, hook: Hook, state: bytes) -> None:
        env = dict(entry.partition("=")[::2] for entry in hook.env)
        name = f"hook {stage} {hook.path[:200]}"
        with contextlib.ExitStack() as opened:
            reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            opened.callback(os.close, reader)
            try:
                # The pipe holds it whole, so that a hook which does not read holds up nobody.
                if os.write(writer, state) < len(state):
                    raise InternalError(f"{name}: the container's annotations are too long")
            finally:
                os.close(writer)
            os.set_blocking(reader, True)
            null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            opened.callback(os.close, null)
            try:
                pid, exited = self._reaper.spawn(
                    hook.args or (hook.path,), env, (reader, null, null), hook.path
                )
            except OSError as error:
                raise InternalError(f"{name} cannot be executed: {error.strerror}") from error
        try:
            ended = await asyncio.wait_for(asyncio.shield(exited), hook.timeout_s or None)
        except TimeoutError:
            if self._reaper.is_unreaped(pid):
                os.kill(pid, signal.SIGKILL)
            raise InternalError(f"{name} took longer than {hook.timeout_s} s") from None
        if ended.status != 0:
            raise InternalError(f"{name} failed: exit status {ended.status}")
