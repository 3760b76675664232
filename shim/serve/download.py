"""The half of a request that comes from the guest: its answer, from a FIFO to the connection.

Rules: never blocks. Bytes are taken from the guest only when the client has taken those before.
What is decided here is what the client sees of a guest that fails: an answer of ours as long as
nothing of the guest's is sent, else a connection that ends before the body does.
"""

import contextlib
import select
import socket
from collections import deque
from collections.abc import Callable

from shim.config import Http
from shim.engine.http.exchange import DROPPED, FINISHED, Answer, Body, Exchange, Response
from shim.serve.memory import read
from shim.serve.request import Message
from shim.serve.response import (
    CONTINUE,
    BadAnswer,
    Framing,
    Head,
    build_head,
    end_of_chunks,
    plain_answer,
)

# by the key of `[http]`: what the client gets, and what the log says
_OVER = {
    "memory_bytes": (503, "the guest needs more than {} bytes of memory ([http] memory_bytes)"),
    "fuel": (504, "the guest took more than {} instructions ([http] fuel, annotation http-fuel)"),
}


class Broken(Exception):  # noqa: N818 - what the client sees
    """The answer cannot go on; the text says why."""


class Download:
    """The answer to one request."""

    # whether the guest's header has to be taken from the sink, too
    header_in_body = False

    def __init__(
        self,
        connection: socket.socket,
        message: Message,
        exchange: Exchange,
        sink: int,
        options: Http,
        log: Callable[[str], None],
    ) -> None:
        self.finished = False
        # whether the connection can have another request afterwards
        self.reusable = False
        self.head: Head | None = None
        # of the answer, once there is one
        self.status = 0
        # the limit that it is over, a key of `[http]`
        self.over: str | None = None
        # how many bytes the client has got
        self.sent_bytes = 0
        self._connection = connection
        self._message = message
        self._exchange = exchange
        self._sink = sink
        self._options = options
        self._limit = options.max_response_bytes
        self._log = log
        self._out: deque[bytes] = deque()
        self._body_bytes = 0

    @property
    def is_sending(self) -> bool:
        """Whether there is something that the client has to take."""
        return bool(self._out)

    def register(self, poll: "select.poll") -> None:
        """Wait for the guest, if it is its turn."""
        if not self._out and (self.head is not None or self.header_in_body):
            poll.register(self._sink, select.POLLIN)

    def send_continue(self) -> None:
        """Let the client send its body."""
        if self.head is None:
            self._out.append(CONTINUE)
        self._message.expects_continue = False

    def move(self, *, ended: bool, draining: bool) -> bool:
        """Take what the guest says, and send it; True if anything moved.

        Args:
            ended: the guest had ended before this call.
            draining: the connection is to end after this request.

        Raises:
            Broken: the answer has begun, and cannot go on.
        """
        moved = not self._out and not self.finished and self._take(ended, draining)
        return self._send() or moved

    def fail(self, status: int, reason: str, *, draining: bool) -> None:
        """Answer in place of the guest.

        Raises:
            Broken: it is too late for that.
        """
        if self.head is not None:
            raise Broken(reason)
        if self._exchange.trap is None or status != 500:
            self._log(f"{status}: {reason}")
        whole = status == 500 and self._message.complete
        self.reusable = whole and self._message.keep_alive and not draining
        is_head = self._message.method == b"HEAD"
        self.status = status
        self._out.append(plain_answer(status, keep_alive=self.reusable, head_only=is_head))
        self.finished = True

    def _take(self, ended: bool, draining: bool) -> bool:  # noqa: FBT001 (two flags of `move`)
        answer = self._exchange.answer
        if answer is None or answer.response is None:
            if ended:
                over = self._over()
                status, why = over or (500, self._why_unanswered(answer))
                self.fail(status, why, draining=draining)
            return ended
        response = answer.response
        try:
            if self.head is None and ended:
                self._answer_at_once(response, draining=draining)
                return True
            if self.head is None:
                body_bytes = None if response.body else 0
                self._begin(response, body_bytes, draining=draining)
                return True
        except BadAnswer as error:
            self.fail(error.status, str(error), draining=draining)
            return True
        if piece := self._read():
            self._add(piece)
            return True
        if ended:
            self._end(response.body)
        return ended

    def _answer_at_once(self, response: Response, *, draining: bool) -> None:
        """The guest has ended, and all that it wrote is here."""
        body = response.body
        if not self._is_whole(body):
            status, why = self._over() or (500, self._why_unfinished(body))
            raise BadAnswer(why, status)
        pieces = []
        while piece := self._read():
            pieces.append(piece)
        data = b"".join(pieces)
        with_trailers = body and body.trailers and self._message.wants_trailers
        head = self._begin(response, None if with_trailers else len(data), draining=draining)
        if head.framing is Framing.LENGTH and head.length != len(data):
            self.head = None
            self._out.clear()
            raise BadAnswer("the guest wrote another number of bytes than its content-length says")
        if data:
            self._add(data)
        self._end(body)

    def _begin(self, response: Response, body_bytes: int | None, *, draining: bool) -> Head:
        head = build_head(
            response.status,
            response.headers.fields,
            self._message,
            body_bytes=body_bytes,
            keep_alive=not draining,
        )
        if head.framing is Framing.LENGTH and (head.length or 0) > self._limit:
            raise BadAnswer(self._too_large(), 503)
        self.head = head
        self.status = response.status
        self._out.append(head.data)
        return head

    def _add(self, data: bytes) -> None:
        head = self.head
        if head is None:
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._limit:
            raise Broken(self._too_large())
        if head.framing is Framing.LENGTH and self._body_bytes > (head.length or 0):
            raise Broken("the guest wrote more than its content-length says")
        if head.framing is Framing.CHUNKED:
            self._out.extend((b"%x\r\n" % len(data), data, b"\r\n"))
        elif head.framing is not Framing.NONE:
            self._out.append(data)

    def _end(self, body: Body | None) -> None:
        """The guest has ended, and everything is here."""
        head = self.head
        if head is None:
            return
        if not self._is_whole(body):
            over = self._over()
            raise Broken(over[1] if over else self._why_unfinished(body))
        if head.framing is Framing.LENGTH and self._body_bytes < (head.length or 0):
            raise Broken("the guest wrote less than its content-length says")
        if head.framing is Framing.CHUNKED:
            trailers = body.trailers if body and self._message.wants_trailers else ()
            self._out.append(end_of_chunks(trailers))
        self.reusable = head.keep_alive and self._message.complete
        self.finished = True

    def _is_whole(self, body: Body | None) -> bool:
        # An answer whose body was never asked for has none, unless the guest did not get so far.
        return body.state == FINISHED if body else self._exchange.trap is None

    def _read(self) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return read(self._sink)
        return b""

    def _send(self) -> bool:
        if not self._out:
            return False
        try:
            sent = self._connection.sendmsg(list(self._out))
        except BlockingIOError:
            return False
        self.sent_bytes += sent
        while sent:
            first = self._out.popleft()
            if len(first) > sent:
                self._out.appendleft(first[sent:])
                break
            sent -= len(first)
        return True

    def _over(self) -> tuple[int, str] | None:
        """The status and the reason where the guest is over a limit of its own."""
        key = self._exchange.over
        if key is None:
            return None
        self.over = key
        status, text = _OVER[key]
        return status, text.format(getattr(self._options, key))

    def _too_large(self) -> str:
        self.over = "max_response_bytes"
        return f"the answer is larger than {self._limit} bytes (max_response_bytes)"

    def _why_unanswered(self, answer: Answer | None) -> str:
        if self._exchange.trap is not None:
            return "the guest trapped"
        if answer is not None:
            return f"the guest answered with the error {answer.error}"
        return "the guest ended without an answer"

    def _why_unfinished(self, body: Body | None) -> str:
        if self._exchange.trap is not None:
            return "the guest trapped before the end of its answer"
        if body and body.state == DROPPED:
            return "the guest dropped the body of its answer without finishing it"
        return "the guest ended without finishing the body of its answer"
