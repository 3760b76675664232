"""The answer of a CGI program: its header comes out of the same pipe as its body.

Rules: those of `Download`. The program's end says whether the answer is whole: a program that fails
has failed, whatever it printed before.
"""

from shim.engine.http.exchange import Answer, Body, Response
from shim.engine.http.fields import Fields
from shim.serve.cgi import CgiHeaderReader
from shim.serve.download import Download
from shim.serve.response import BadAnswer


class CgiDownload(Download):
    """The answer to one request."""

    header_in_body = True
    _reader: CgiHeaderReader | None = None
    _rest = b""

    def _take(self, ended: bool, draining: bool) -> bool:  # noqa: FBT001 (as its parent's)
        moved = False
        if not self._is_answered():
            if self._message.expects_continue and not ended:
                # Before the header, which many programs print first: the client would not send.
                self.send_continue()
                return True
            try:
                moved = self._take_header()
            except BadAnswer as error:
                self.fail(error.status, str(error), draining=draining)
                return True
            if not self._is_answered() and (moved or not ended):
                return moved
        return super()._take(ended, draining) or moved

    def _is_answered(self) -> bool:
        return self._exchange.answer is not None

    def _take_header(self) -> bool:
        if self._reader is None:
            self._reader = CgiHeaderReader(self._options.max_header_bytes)
        data = self._read()
        head = self._reader.feed(data) if data else None
        if head is not None:
            self._rest = head.rest
            self._exchange.answer = Answer(Response(Fields(head.fields), head.status, Body()))
        return bool(data)

    def _read(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest or super()._read()

    def _is_whole(self, body: Body | None) -> bool:  # noqa: ARG002 (its parent's)
        return self._exchange.trap is None

    def _why_unanswered(self, answer: Answer | None) -> str:  # noqa: ARG002 (its parent's)
        if self._exchange.trap is not None:
            return "the program failed before its header was whole"
        return "the program ended before its header was whole: an empty line ends it"

    def _why_unfinished(self, body: Body | None) -> str:  # noqa: ARG002 (its parent's)
        return "the program failed before the end of its answer"
