"""One request and its answer: the guest runs in one thread, bytes move in whichever is free.

Rules: the guest's thread waits for the guest and for nothing else. As long as the request is whole
and the guest is quick, nobody moves bytes, and the guest's own thread sends the answer when the
guest has ended: that is the common case, and the cheap one. Otherwise a second thread, the courier,
moves bytes both ways until the answer is sent. Whoever claimed that job is alone with the
connection, and closes it where it cannot have another request.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shim.engine.http.exchange import Address, BodyError, Exchange, Request
from shim.engine.http.fields import Field
from shim.serve.channels import Channel
from shim.serve.download import Broken
from shim.serve.once import Once
from shim.serve.request import BadRequest, Message, RequestReader
from shim.serve.response import Framing
from shim.serve.shared import Shared
from shim.serve.upload import ClientGone, Upload

# The keeper's, every 2 ms by then: a guest is rarely interrupted for longer by another process.
_LOOKS = 3
_GONE = select.POLLHUP | select.POLLERR


class Transaction:
    """One request, from its head to the last byte of the answer (a `Peer` of the exchange)."""

    def __init__(
        self,
        shared: Shared,
        connection: socket.socket,
        reader: RequestReader,
        message: Message,
        channel: Channel,
    ) -> None:
        self.stop: str | None = None
        self.began = time.monotonic()
        self._shared = shared
        self._connection = connection
        self._message = message
        self._ended = False
        self._noticed = 0
        self._called = False
        self._stop_status = 504
        self._over: str | None = None
        self._counted_bytes = 0
        self._claim = threading.Lock()
        self._done = Once()
        self._wake = -1
        self._upload: Upload | None = None
        self._sink = channel.open_sink()
        self._sink_opened = Once()
        body = None
        if message.complete:
            body = b"".join(message.chunks)
        else:
            self._upload = Upload(connection, reader, message, channel.open_source())
        request = Request(
            method=message.method,
            target=message.target,
            authority=message.authority,
            fields=message.fields,
            body=body,
            source=channel.source,
            sink=channel.sink,
            protocol=b"HTTP/1.1" if message.is_http_1_1 else b"HTTP/1.0",
        )
        self.exchange = Exchange(request, self, channel)
        self._log = partial(shared.log_of, message)
        self._download = shared.download(
            connection, message, self.exchange, self._sink, shared.options, self._log
        )

    @property
    def reusable(self) -> bool:
        """Whether the connection can have another request, when this one is over."""
        return self._download.reusable

    def run(self) -> None:
        """Run the guest and see to its answer; returns when the guest has ended."""
        shared = self._shared
        if self._upload is not None:
            try:
                self.send_courier()
            except RuntimeError as error:
                # the limit of processes (pids) of the container, or of its user
                self.halt(f"nobody can move its bytes: {error}", 503)
                self.ended()
                return
        shared.watch(self)
        try:
            shared.service.handle(self.exchange)
        finally:
            shared.forget(self)
            self.exchange.close()
        trap = self.exchange.trap
        if trap is not None and self.stop is None:
            self._log(trap)
            if self.exchange.over is None:
                shared.tally.trapped()

    def is_waiting(self) -> bool:
        """Whether an answer has been there to send at each of the last few times of asking.

        Of a guest whose header is still in its pipe, nobody knows: it may be.
        """
        if self.has_answer:
            self._noticed += 1
        return self._noticed > _LOOKS

    @property
    def has_answer(self) -> bool:
        """Whether there may be something of the guest's to send."""
        return self.exchange.answer is not None or self._download.header_in_body

    def send_courier(self) -> None:
        """Let another thread move the bytes from now on, unless somebody does already.

        Raises:
            RuntimeError: there can be no more threads; one that becomes free may still come.
        """
        if not self._called:
            self._called = True
            self._shared.couriers.submit(self._be_courier)

    def halt(self, reason: str, status: int = 504, over: str | None = None) -> None:
        """End the guest, and the answer with `status` where it has not begun; `over`: since it is
        over this limit, a key of `[http]`."""
        if self.stop is None and not self._ended:
            self._stop_status, self._over = status, over
            self.stop = reason
            self._shared.service.tick()
            self._call_courier()

    # What the guest's thread calls: see `Peer`.

    def opened(self) -> None:
        """See `Peer`."""
        self._sink_opened.set()
        if self._upload is not None:
            self._upload.opened.set()

    def ends(self) -> tuple[Address, Address]:
        """See `Peer`."""
        return _address(self._connection.getpeername), _address(self._connection.getsockname)

    def wants_body(self) -> None:
        """See `Peer`."""
        if self._upload is not None:
            self._upload.wanted = True
            self._call_courier()

    def trailers(self) -> Sequence[Field] | None:
        """See `Peer`."""
        upload = self._upload
        if upload is not None:
            upload.wanted = upload.discard = True
            self._call_courier()
            upload.done.wait()
            if upload.failed is not None:
                raise BodyError(upload.failed)
        return self._message.trailers or None

    def answered(self) -> None:
        """See `Peer`."""
        self._call_courier()

    def ended(self) -> None:
        """See `Peer`."""
        self._ended = True
        self.opened()
        if self._claim.acquire(blocking=False):
            self._carry()
        else:
            self._call_courier()
            self._done.wait()

    def _call_courier(self) -> None:
        with self._shared.wake_lock:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    # What whoever claimed the job does.

    def _be_courier(self) -> None:
        if self._claim.acquire(blocking=False):
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._carry()

    def _carry(self) -> None:
        download = self._download
        try:
            self._move_bytes()
        except (ClientGone, OSError):
            download.reusable = False
            self.halt("the client has gone")
        except Broken as error:
            download.reusable = False
            self._shared.tally.broke_off()
            self._log(f"answer broken off: {error}")
            self.halt(str(error))
            if download.head is not None and download.head.framing is Framing.CLOSE:
                self._shared.reset(self._connection)
        except Exception as error:  # noqa: BLE001 (a thread's last frame)
            download.reusable = False
            self._log(repr(error))
            self.halt(repr(error))
        finally:
            # Stopped first: a guest must not take the end of the pipe for that of the body.
            self.halt("its answer is over")
            self._put_down()

    def _put_down(self) -> None:
        self._sink_opened.wait()
        os.close(self._sink)
        if self._upload is not None:
            self._upload.close()
        with self._shared.wake_lock:
            if self._wake >= 0:
                os.close(self._wake)
                self._wake = -1
        self._count()
        if not self._download.reusable:
            self._shared.hang_up(self._connection, unread=not self._message.complete)
        self._done.set()

    def _count(self) -> None:
        message, download = self._message, self._download
        seconds = time.monotonic() - message.began
        over = self._over or download.over
        message.counted = True
        self._shared.tally.answered(message.method, download.status, seconds, over)

    def _move_bytes(self) -> None:
        download, upload = self._download, self._upload
        while True:
            # Read before the sink is: what a guest wrote before its end is then seen.
            ended = self._ended
            draining = self._shared.draining
            if self.stop is not None and not download.finished:
                download.fail(self._stop_status, self.stop, draining=draining)
            moved = download.move(ended=ended, draining=draining)
            if moved:
                self._shared.tally.sent(download.sent_bytes - self._counted_bytes)
                self._counted_bytes = download.sent_bytes
            if download.finished:
                if not download.is_sending:
                    return
            elif upload is not None:
                moved |= self._take_body(upload)
            if not moved:
                self._wait()

    def _take_body(self, upload: Upload) -> bool:
        if upload.wants_continue:
            self._download.send_continue()
            return True
        try:
            return upload.move()
        except BadRequest as error:
            upload.failed = b"HTTP-protocol-error"
            self.halt(f"its body is refused: {error}", error.status)
            return True

    def _wait(self) -> None:
        """Until anything can move; only the client's part is limited in time here."""
        poll = select.poll()
        awaited = 0
        self._download.register(poll)
        if self._download.is_sending:
            awaited |= select.POLLOUT
        if self._upload is not None and not self._download.finished:
            self._upload.register(poll)
            if self._upload.may_receive:
                awaited |= select.POLLIN
        # Without any of these bits it still tells of a connection that is gone.
        poll.register(self._connection, awaited)
        if self._wake >= 0:
            poll.register(self._wake, select.POLLIN)
        timeout_s = self._shared.options.client_timeout_s
        events = dict(poll.poll(timeout_s * 1000 if awaited else None))
        if not events:
            self._give_up()
        elif self._wake in events:
            os.eventfd_read(self._wake)
        if events.get(self._connection.fileno(), 0) & _GONE and not awaited:
            raise ClientGone("the client has gone")

    def _give_up(self) -> None:
        if self._download.is_sending or self._upload is None:
            # Else the kernel would keep for long what it is never going to deliver.
            self._shared.reset(self._connection)
            raise Broken("the client does not read")
        self._upload.failed = b"connection-read-timeout"
        self.halt("the client sends nothing of its body", 408)


def _address(ask: Callable[[], Sequence[Any]]) -> Address:
    try:
        host, port = ask()[:2]
    except OSError:
        # The client has gone.
        return "", 0
    return host, port
