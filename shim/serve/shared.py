"""What all requests of a server have in common, and the keeper that watches those in flight.

Rules: the keeper is one thread. It sends a courier to a guest that has begun its answer and is not
done with it a moment later, which most are, and to one that takes long to begin; it ends guests at
the time limit, instances that nobody needs, and the server where guests cannot be ended.
"""

import contextlib
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from shim.config import Http
from shim.engine.http.exchange import Census, Exchange
from shim.serve.channels import Channels
from shim.serve.counters import Tally, Uncounted
from shim.serve.download import Download
from shim.serve.memory import Trimmer
from shim.serve.request import Message

if TYPE_CHECKING:
    from shim.serve.transaction import Transaction

_TICK_S = 0.002
# As long as no guest has begun its answer: most are done before anybody has to look.
_FIRST_TICK_S = 0.005
# Until then nobody looks whether the client of a guest without an answer is still there.
_PATIENCE_S = 0.05
_AWAKE_TICKS = 20
# how often somebody looks for instances that have stayed and are not needed
_IDLE_LOOK_S = 1.0
# A guest looks for interruptions all the time, unless it waits in the host.
_STUCK_S = 5.0
_LINGER_S = 2.0
_LINGER_BYTES = 1 << 20
EXIT_STATUS_STUCK = 1


class Service(Protocol):
    """What answers: a component's own handler, or a CGI program."""

    census: Census | None
    """Who counts the instances, if anybody does."""

    def prepare(self) -> None:
        """Link what all requests share; raises `GuestFailure`."""

    def handle(self, exchange: Exchange) -> None:
        """Run a guest."""

    def tick(self) -> None:
        """Let guests look whether they must stop."""


class Shared:
    """One server's."""

    def __init__(
        self,
        options: Http,
        service: Service,
        channels: Channels,
        download: type[Download] = Download,
    ) -> None:
        self.options = options
        self.download = download
        self.service = service
        self.channels = channels
        # which of the workers this is, from 0 on; whoever takes a dead one's place has its number
        self.worker = 0
        self.draining = False
        self.tally: Tally = Uncounted()
        self.wake_lock = threading.Lock()
        self._trimmer = Trimmer()
        self.couriers = ThreadPoolExecutor(
            max_workers=2 * options.concurrency, thread_name_prefix="courier"
        )
        self._flight: dict[Transaction, None] = {}
        self._busy = threading.Event()
        self._asleep = True
        self._stuck_since: float | None = None

    def start_keeper(self) -> None:
        """Start the thread, and the one for memory."""
        threading.Thread(target=self._keep, name="keeper", daemon=True).start()
        self._trimmer.start()

    def watch(self, transaction: "Transaction") -> None:
        """A guest begins."""
        self._flight[transaction] = None
        self._trimmer.note()
        if self._asleep:
            self._busy.set()

    def forget(self, transaction: "Transaction") -> None:
        """A guest has ended."""
        self._flight.pop(transaction, None)

    def log(self, text: str) -> None:
        """Tell whoever reads the container's log."""
        data = f"tandem: {text}\n".encode(errors="replace")
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(2, data) :]

    def log_of(self, message: Message, text: str) -> None:
        """The same, of one request."""
        self.log(f"{message.method.decode()} {message.target[:200].decode()}: {text}")

    def reset(self, connection: socket.socket) -> None:
        """Let the end of a connection be an error, and no end of the body."""
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang_up(self, connection: socket.socket, *, unread: bool) -> None:
        """Close a connection; with bytes of the client unread, not before it has our answer."""
        with contextlib.suppress(OSError):
            if unread:
                # Closing now would make the kernel drop what the client has not read yet.
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(_LINGER_S)
                end, rest = time.monotonic() + _LINGER_S, _LINGER_BYTES
                while rest > 0 and time.monotonic() < end:
                    data = connection.recv(64 << 10)
                    if not data:
                        break
                    rest -= len(data)
        connection.close()

    def _keep(self) -> None:
        quiet, looked, answers = 0, time.monotonic(), False
        while True:
            if quiet > _AWAKE_TICKS:
                self._asleep = True
                if not self._flight:
                    self._sleep()
                self._asleep = False
                self._busy.clear()
                quiet = 0
            time.sleep(_TICK_S if answers else _FIRST_TICK_S)
            quiet = 0 if self._flight else quiet + 1
            now = time.monotonic()
            answers = self._look(now)
            if now > looked + _IDLE_LOOK_S:
                looked = now
                self._end_idle()

    def _sleep(self) -> None:
        """Until there is a guest; the instances that have stayed must not stay for ever."""
        while self._end_idle():
            if self._busy.wait(_IDLE_LOOK_S):
                return
        self._busy.wait()

    def _end_idle(self) -> bool:
        return self.channels.end_idle(time.monotonic() - self.options.idle_timeout_s)

    def _look(self, now: float) -> bool:
        """Look after every guest in flight; whether one of them has begun an answer."""
        limit = self.options.timeout_s
        answers = False
        stuck = 0
        for transaction in tuple(self._flight):
            age = now - transaction.began
            answers = answers or transaction.has_answer
            if transaction.is_waiting() or age > _PATIENCE_S:
                # Without a thread for it, the guest's own one does the work in the end.
                with contextlib.suppress(RuntimeError):
                    transaction.send_courier()
            if age > limit and transaction.stop is None:
                transaction.halt(f"it took longer than {limit} s (timeout_s)", over="timeout_s")
            stuck += transaction.stop is not None and age > limit + _STUCK_S
        if stuck >= self.options.concurrency:
            self.log(
                f"{stuck} guests wait for something in the host and do not end after their time"
                " limit: the server ends, to be started anew"
            )
            os._exit(EXIT_STATUS_STUCK)
        return answers
