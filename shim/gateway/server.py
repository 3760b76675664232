"""The gateway: the pod's task service over gRPC, handed on to the pod shim call by call.

A leaf process: gRPC's core runs threads here, so nothing is ever forked from it. Rules: the
messages of the task service pass through as bytes; an error keeps its code and its text; the pod
shim's end is the gateway's: it unlinks its socket, lets the last answers leave, and ends.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc.aio

from shim import sockets
from shim.errdefs import ResourceExhaustedError, ShimError, UnavailableError
from shim.gateway.names import READY, SERVICES, is_introspection, split_method
from shim.gateway.status import grpc_status
from shim.gateway.upstream import Upstream
from shim.rundir import RunDir
from shim.ttrpc.codes import Code
from shim.ttrpc.frame import MAX_MESSAGE_BYTES

# No keepalive and no age or idle limit: containerd takes the end of a connection for the shim's.
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)
_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class GatewayPaths:
    """The pod's task socket, its gRPC socket, and the name by which the latter is made."""

    run_dir: RunDir
    upstream: Path
    public: Path
    temporary: Path


def run_gateway(paths: GatewayPaths, lifeline: socket.socket) -> None:
    """Serve until the other end of `lifeline` is closed or the pod is over.

    READY is sent there when the socket listens; whoever gets it gives it its public name.
    """
    os.umask(0o177)
    asyncio.run(_serve(paths, lifeline))


async def _serve(paths: GatewayPaths, lifeline: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    upstream = Upstream(paths.upstream, over.set)
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_Tasks(upstream), _Introspection()))
    server.add_insecure_port(f"unix:{quote(str(paths.temporary))}")
    own = paths.temporary.stat()
    await server.start()
    lifeline.send(READY)
    lifeline.setblocking(False)  # noqa: FBT003 (socket's)
    # Nothing is ever said there: readable is closed.
    loop.add_reader(lifeline, over.set)
    await over.wait()
    loop.remove_reader(lifeline)
    for path in (paths.public, paths.temporary):
        _unlink_own(paths.run_dir, path, own)
    await server.stop(_GRACE_S)
    upstream.close()


def _unlink_own(run_dir: RunDir, path: Path, own: os.stat_result) -> None:
    """Unlink, unless a new pod of this name has its socket there already."""
    with sockets.locked(run_dir), contextlib.suppress(FileNotFoundError):
        if os.path.samestat(path.stat(), own):
            path.unlink()


class _Tasks(grpc.GenericRpcHandler):  # type: ignore[misc]  # no types
    """Hands every call of the task services on."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def service(self, handler_call_details: Any) -> Any:
        service, method = split_method(handler_call_details.method)
        if service not in SERVICES:
            return None
        return grpc.unary_unary_rpc_method_handler(self._handing_on(service, method))

    def _handing_on(self, service: str, method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def hand_on(payload: bytes, context: Any) -> bytes:
            left_s = context.time_remaining()
            timeout_ns = 0 if left_s is None else max(1, int(left_s * 1e9))
            code, text = int(Code.INTERNAL), ""
            try:
                answer = await self._upstream.call(service, method, payload, timeout_ns)
            except ShimError as error:
                code, text = _code_of(error), str(error)
            else:
                if answer.code == Code.OK:
                    return answer.payload
                code, text = answer.code, answer.message
            await context.abort(*grpc_status(code, text))
            raise AssertionError("abort has returned")

        return hand_on


class _Introspection(grpc.GenericRpcHandler):  # type: ignore[misc]  # no types
    """Health and reflection, imported when somebody asks for them."""

    def __init__(self) -> None:
        self._handlers: tuple[Any, ...] | None = None

    def service(self, handler_call_details: Any) -> Any:
        if not is_introspection(handler_call_details.method):
            return None
        if self._handlers is None:
            from shim.gateway.introspection import handlers  # noqa: PLC0415 (no pod needs it)

            self._handlers = handlers()
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next(filter(None, found), None)


def _code_of(error: ShimError) -> int:
    match error:
        case UnavailableError():
            return Code.UNAVAILABLE
        case ResourceExhaustedError():
            return Code.RESOURCE_EXHAUSTED
        case _:
            return Code.INTERNAL
