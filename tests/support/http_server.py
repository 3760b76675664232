"""Serves a component in a forked process, as an instance does, and talks to it in raw bytes."""

import contextlib
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from shim.config import Http
from shim.engine.cgi.handlers import Handler
from shim.engine.cgi.routes import Route
from shim.engine.code import code_for
from shim.jail import confine_worker
from shim.outbound.policy import OPEN, Policy
from shim.stores.options import NOTHING_GIVEN, GuestOptions
from tests.support import engine_runs

LISTEN = "127.0.0.1:0"
_START_S = 20.0


@dataclass
class Serving:
    """A running server; `log` is what it has written to standard error."""

    pid: int
    port: int
    log_path: Path
    status: int | None = None

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def connect(self, timeout_s: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout_s)

    def ask(self, request: bytes) -> bytes:
        """All that the server says to `request` until it hangs up."""
        with self.connect() as connection:
            return exchange(connection, request)

    def get(self, path: str, *fields: str) -> bytes:
        lines = [f"GET {path} HTTP/1.1", "host: test", "connection: close", *fields, "", ""]
        return self.ask("\r\n".join(lines).encode())

    def wait_for_log(self, text: str) -> None:
        deadline = time.monotonic() + _START_S
        while text not in self.log:
            assert time.monotonic() < deadline, f"no {text!r} in {self.log!r}"
            time.sleep(0.01)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.status is None:
            os.kill(self.pid, number)
            self.wait()
        assert self.status is not None
        return self.status

    def wait(self) -> int:
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status


def exchange(connection: socket.socket, request: bytes) -> bytes:
    """Send, and read meanwhile: a guest that echoes waits for who does not read."""
    pending = memoryview(request)
    data = b""
    with contextlib.suppress(ConnectionError):
        while pending:
            readable, writable, _ = select.select([connection], [connection], [], _START_S)
            assert readable or writable, "the server neither reads nor writes"
            if readable:
                piece = connection.recv(1 << 16)
                if not piece:
                    return data
                data += piece
            if writable:
                pending = pending[connection.send(pending[: 1 << 16], socket.MSG_DONTWAIT) :]
    return data + read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    """Until the end, which may be an error."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 16):
            data += piece
    return data


def read_until(connection: socket.socket, text: bytes) -> bytes:
    """All until `text` has come."""
    data = b""
    while text not in data:
        piece = connection.recv(1 << 16)
        assert piece, f"no {text!r} in {data!r}"
        data += piece
    return data


def body_of(answer: bytes) -> bytes:
    """The body of one whole answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head:
        return body
    whole = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return whole
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]


def get(path: str) -> bytes:
    """A request on a connection that goes on."""
    return b"GET %s HTTP/1.1\r\nhost: h\r\n\r\n" % path.encode()


def ask(connection: socket.socket, request: bytes) -> bytes:
    """The body of the answer, on a connection that may go on; empty where the guest failed."""
    connection.sendall(request)
    answer = read_until(connection, b"\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head:
        while not body.endswith(b"0\r\n\r\n"):
            body += connection.recv(1 << 16)
        body = body_of(head + b"\r\n\r\n" + body)
    else:
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(1 << 16)
    return body if head.startswith(b"HTTP/1.1 200") else b""


@contextlib.contextmanager
def serving(
    folder: Path,
    module: str | bytes | Path,
    *,
    env: tuple[str, ...] = (),
    root: Path | None = None,
    given: GuestOptions = NOTHING_GIVEN,
    cgi: str | tuple[Handler, ...] | None = None,
    args: tuple[str, ...] = (),
    function: str | None = None,
    outbound: Policy = OPEN,
    **options: Any,
) -> Iterator[Serving]:
    """A server for a module's text or file, with `cgi` on that route, or for these programs; killed
    at the end if it still runs."""
    code = code_for(per_request=cgi is not None, metered=bool(options.get("fuel")))
    cache = engine_runs.new_cache(folder / "cache", code=code)
    artefact = engine_runs.load(engine_runs.write_module(folder, module), cache)
    program = engine_runs.program(artefact, *args, function=function, env=env)
    program = replace(program, given=given, outbound=outbound)
    log = folder / "log"
    wanted = replace(Http(listen=LISTEN), **options)
    pid = os.fork()
    if pid == 0:
        handlers = cgi if cgi is None or isinstance(cgi, tuple) else (Handler(Route(cgi), program),)
        _be_server(program, wanted, handlers, log, root)
    served = Serving(pid, 0, log)
    try:
        deadline = time.monotonic() + _START_S
        while not (
            found := re.search(r"serving HTTP on \S+:(\d+)", served.log if log.exists() else "")
        ):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                served.status = os.waitstatus_to_exitcode(status)
                break
            assert time.monotonic() < deadline, served.log
            time.sleep(0.01)
        else:
            served.port = int(found[1])
        yield served
    finally:
        if served.status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _be_server(
    program: Any, options: Http, cgi: tuple[Handler, ...] | None, log: Path, root: Path | None
) -> None:
    status = 199
    try:
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        for number in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        os.environ["TOKIO_WORKER_THREADS"] = "1"
        from shim.serve.server import Server

        server = Server.load(program, options, cgi, partial(confine_worker, ()))
        if root:
            os.chroot(root)
        server.prepare()
        status = server.run()
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(status)
