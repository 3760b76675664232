"""Reads the header that a CGI program prints before the body of its answer.

Rules: no I/O. Lines end with LF or CRLF. What the program prints ends up in a header of ours, so
nothing passes that could end a line there; what belongs to the connection is dropped. Sources:
RFC 3875 6.2 and 6.3; from wagi: one of Content-Type, Location and Status has to be there, and a
Location without a Status is a redirect, be it to a path.
"""

from dataclasses import dataclass

from shim.engine.http.fields import Field, FieldError, checked_name, checked_value
from shim.serve.response import BadAnswer

_REDIRECT = 302
_DECISIVE = frozenset((b"content-type", b"location", b"status"))


@dataclass(frozen=True, slots=True)
class CgiHead:
    """A header that is whole, and the bytes behind it, which are of the body."""

    status: int
    fields: list[Field]
    rest: bytes


class CgiHeaderReader:
    """The header of one answer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._data = b""
        # where the first line begins that is not read yet
        self._offset = 0
        self._status: int | None = None
        self._fields: list[Field] = []
        self._names: set[bytes] = set()

    def feed(self, data: bytes) -> CgiHead | None:
        """Read what the program has printed; the header once it is whole.

        Raises:
            BadAnswer: it is none.
        """
        self._data += data
        while (end := self._data.find(b"\n", self._offset)) >= 0:
            line = self._data[self._offset : end].removesuffix(b"\r")
            self._offset = end + 1
            if self._offset > self._max_bytes:
                break
            if not line:
                return self._finish()
            self._read(line)
        if max(self._offset, len(self._data)) > self._max_bytes:
            raise BadAnswer(f"the program's header is larger than {self._max_bytes} bytes")
        return None

    def _read(self, line: bytes) -> None:
        name, separator, value = line.partition(b":")
        if not separator:
            raise BadAnswer(f"the program's header has the line {_shown(line)} without a colon")
        try:
            name, value = checked_name(name), checked_value(value.strip(b" \t"))
        except FieldError as error:
            if error.case == b"forbidden":
                return
            raise BadAnswer(f"the program's header has the bad line {_shown(line)}") from error
        self._names.add(name)
        if name == b"status":
            self._status = _status(value)
        else:
            self._fields.append((name, value))

    def _finish(self) -> CgiHead:
        if not self._names & _DECISIVE:
            raise BadAnswer("the program's header has neither Content-Type nor Location nor Status")
        default = _REDIRECT if b"location" in self._names else 200
        status = default if self._status is None else self._status
        return CgiHead(status, self._fields, self._data[self._offset :])


def _status(value: bytes) -> int:
    number = value.partition(b" ")[0]
    # Informational answers are no end, and belong to the connection.
    if len(number) != 3 or not number.isdigit() or number < b"200" or number > b"599":
        raise BadAnswer(f"the program's header has the status {_shown(value)}")
    return int(number)


def _shown(data: bytes) -> str:
    return ascii(data[:80].decode(errors="replace"))
