"""The HTTP server that a container with a serving component is.

Rules: the process is a leaf and has threads once `run` is called, or its workers have them where it
is to have several (`shim.serve.supervisor`). The main thread accepts and handles signals, and never
runs guests: Python cannot handle a signal while its thread is in wasm.
"""

import contextlib
import functools
import os
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from shim.config import Http
from shim.engine.cgi.handlers import Handler
from shim.engine.cgi.service import CgiService
from shim.engine.guest import GuestFailure, Program, check_texts
from shim.engine.http.service import Service
from shim.errdefs import PermissionDeniedError
from shim.serve.cgi_download import CgiDownload
from shim.serve.channels import Channels
from shim.serve.connection import Connection
from shim.serve.listener import address_of, listen
from shim.serve.shared import Shared
from shim.serve.supervisor import STOP_SIGNALS, Supervisor

if TYPE_CHECKING:
    from shim.serve.report import Report

_LOOK_S = 0.05
_EXIT_STATUS_NOT_BOUND = 1
_EXIT_STATUS_NOT_LINKED = 137


class Server:
    """What a container serves (as `shim.engine.run.Instance`)."""

    def __init__(self, shared: Shared, confine: Callable[[int], None]) -> None:
        self._shared = shared
        self._confine = confine
        self._report: Report | None = None
        # where the numbers of the report are asked for
        self._asked: socket.socket | None = None
        self._options = shared.options
        self._connections: dict[Connection, None] = {}
        self._stopping = False

    @classmethod
    def load(
        cls,
        program: Program,
        options: Http,
        cgi: Sequence[Handler] | None,
        confine: Callable[[int], None],
    ) -> "Server":
        """Map the artefacts and make what the jail forbids; before the jail.

        Args:
            program: a component that answers by itself; not used with `cgi`.
            options: how it is served.
            cgi: CGI programs.
            confine: what a worker does to itself first, given its parent; not called with one.

        Raises:
            InvalidArgumentError: an argument or variable cannot be given to a guest.
            StaleArtefactError: wasmtime refuses an artefact, or it is gone.
        """
        count, workers = options.concurrency, max(options.workers, 1)
        if cgi is None:
            check_texts(program)
            service = Service(program, options.memory_bytes, options.reuse, options.fuel)
            shared = Shared(options, service, Channels(count, workers, service.end))
        else:
            for handler in cgi:
                check_texts(handler.program)
            programs = CgiService(cgi, options.memory_bytes, options.fuel)
            shared = Shared(options, programs, Channels(count, workers), CgiDownload)
        server = cls(shared, confine)
        if options.metrics:
            # What it needs of the host's files is imported here; no other server pays for it. The
            # daemon keeps ssl out (shim/daemon/unneeded.py); here its absence would be an error.
            if not sys.modules.get("ssl"):
                sys.modules.pop("ssl", None)
            from shim.serve.report import Report  # noqa: PLC0415

            server._report = Report(options.metrics, workers)
        return server

    def prepare(self) -> None:
        """Make everything that all requests share; in the jail, and without running guest code.

        Raises:
            PermissionDeniedError: the root directory cannot be opened.
        """
        self._shared.channels.enter()
        try:
            os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            raise PermissionDeniedError(
                f"user {os.getuid()} cannot open the root directory of the container's rootfs:"
                f" {error.strerror}"
            ) from error

    def run(self) -> int:
        """Serve until a signal says to stop and every request is answered; the exit status."""
        try:
            self._shared.service.prepare()
        except GuestFailure as failure:
            self._shared.log(str(failure))
            return _EXIT_STATUS_NOT_LINKED
        try:
            listener = listen(self._options.listen, self._options.backlog)
        except OSError as error:
            self._shared.log(f"cannot listen on {self._options.listen}: {error.strerror}")
            return _EXIT_STATUS_NOT_BOUND
        with contextlib.closing(listener):
            if not self._bind_report():
                return _EXIT_STATUS_NOT_BOUND
            # Whoever reads that it serves may ask it to end at once.
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            many = f" by {self._options.workers} workers" if self._options.workers > 1 else ""
            self._shared.log(f"serving HTTP on {address_of(listener)}{many}")
            if many:
                workers = self._options.workers
                return Supervisor(self, listener, workers, self._shared.log).run()
            self._start_report(0)
            self._serve(listener)
        return 0

    def confine(self, parent: int) -> None:
        """See `Work`."""
        self._confine(parent)

    def serve(self, listener: socket.socket, index: int, stop: int) -> int:
        """See `Work`."""
        self._shared.worker = index
        self._shared.channels.use(index)
        self._start_report(index)
        self._serve(listener, stop)
        return 0

    def _bind_report(self) -> bool:
        if self._report is not None:
            try:
                self._asked = self._report.bind()
            except OSError as error:
                address = self._options.metrics
                self._shared.log(f"cannot listen on {address} (metrics): {error.strerror}")
                return False
            self._shared.log(f"metrics on http://{address_of(self._asked)}/metrics")
        return True

    def _start_report(self, process: int) -> None:
        if self._report is not None and self._asked is not None:
            self._report.start(self._shared, self._asked, process)

    def _serve(self, listener: socket.socket, stop: int | None = None) -> None:
        self._shared.start_keeper()
        limit = self._options.connections + self._options.concurrency
        workers = ThreadPoolExecutor(max_workers=limit, thread_name_prefix="connection")
        running: set[Future[None]] = set()
        with selectors.DefaultSelector() as selector, self._signals() as woken:
            selector.register(woken, selectors.EVENT_READ)
            selector.register(listener, selectors.EVENT_READ)
            if stop is not None:
                selector.register(stop, selectors.EVENT_READ)
            while not self._stopping:
                ready = {key.fileobj for key, _ in selector.select()}
                if stop in ready:
                    break
                if listener in ready and not self._accept(listener, workers, running):
                    # It stays readable: look again when there may be room, or at a signal.
                    selector.unregister(listener)
                    selector.select(_LOOK_S)
                    selector.register(listener, selectors.EVENT_READ)
            # Whoever is in the backlog came before the end, and is answered.
            self._accept(listener, workers, running)
        self._shared.draining = True
        for connection in tuple(self._connections):
            connection.end_if_idle()
        # A guest that waits in the host for ever holds up nobody: its client has its answer.
        while not all(c.is_over or c.is_late for c in tuple(self._connections)):
            if self._options.health:
                # Whoever asks whether there will be answers is told that there will be none.
                self._accept(listener, workers, running)
            wait(running, timeout=_LOOK_S, return_when=FIRST_COMPLETED)

    def _accept(
        self, listener: socket.socket, workers: ThreadPoolExecutor, running: set[Future[None]]
    ) -> bool:
        """Take whoever waits; False if not all of them can be taken now."""
        while True:
            if len(self._connections) >= self._options.connections and not self._make_room():
                return False
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return True
            except OSError as error:
                self._shared.log(f"cannot accept a connection: {error.strerror}")
                return False
            connection = Connection(self._shared, accepted)
            self._connections[connection] = None
            self._shared.tally.accepted()
            try:
                served = workers.submit(connection.serve)
            except RuntimeError as error:
                # the limit of processes (pids) of the container, or of its user
                self._shared.log(f"cannot serve a connection: {error}")
                self._forget(connection, None)
                accepted.close()
                return False
            running.add(served)
            served.add_done_callback(running.discard)
            served.add_done_callback(functools.partial(self._forget, connection))

    def _forget(self, connection: Connection, _: object) -> None:
        del self._connections[connection]
        self._shared.tally.closed()

    def _make_room(self) -> bool:
        return any(connection.end_if_idle() for connection in tuple(self._connections))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[socket.socket]:
        reader, writer = socket.socketpair()
        writer.setblocking(False)  # noqa: FBT003 (the socket API's)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        with reader, writer:
            yield reader

    def _stop(self, *_: object) -> None:
        self._stopping = True
