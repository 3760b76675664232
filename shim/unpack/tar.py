"""Reads tar archives from a stream: ustar, with the extensions of GNU and pax that tools write.

Rules: no I/O but the stream's `read`; nothing that a header says makes us hold more than
`MAX_EXTENSION_BYTES`. Not the standard library's: that one reads extended headers of any size into
memory, and Python 3.11.2 has no filters. Sources: POSIX pax(1); GNU tar's manual, "Basic Tar
Format".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from shim.errdefs import InvalidArgumentError
from shim.unpack.streams import CHUNK_BYTES, Budget, Readable

BLOCK = 512
MAX_EXTENSION_BYTES = 1 << 20


class Type(StrEnum):
    """What a member is; those that are missing here are refused."""

    FILE = "0"
    HARDLINK = "1"
    SYMLINK = "2"
    DIRECTORY = "5"


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as its headers describe it; only a file has a `size`."""

    name: str
    type: Type
    size: int
    mode: int
    uid: int
    gid: int
    link: str


_REFUSED = {
    "3": "is a device node",
    "4": "is a device node",
    "6": "is a named pipe",
    "S": "is a sparse file, which is not supported",
}
_FILES = frozenset({"0", "\0", "7"})
_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK = "x", "g", "L", "K"
_EXTENSIONS = frozenset({_PAX, _PAX_GLOBAL, _GNU_NAME, _GNU_LINK})
_SPARSE = "GNU.sparse."
_KEPT_RECORDS = frozenset({"path", "linkpath", "size", "uid", "gid", _SPARSE})


class TarReader:
    """The members of an archive in order; each one's data is read before the next is asked for."""

    def __init__(self, stream: Readable, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """Yield the members.

        Raises:
            InvalidArgumentError: it is no tar, cut short, or has something that is never unpacked.
            ResourceExhaustedError: there are too many entries, or too many bytes.
        """
        common: dict[str, str] = {}
        own: dict[str, str] = {}
        # An archive ends with blocks of zeros, without which it may have been cut short.
        while any(block := self._upto(BLOCK)):
            if len(block) < BLOCK:
                raise InvalidArgumentError("tar ends in the middle of a header")
            self._budget.take_entry()
            _check_sum(block)
            kind = chr(block[156])
            if kind not in _EXTENSIONS:
                member = _member(block, kind, common | own)
                self._left, self._padding = member.size, -member.size % BLOCK
                own = {}
                yield member
                self._skip()
                continue
            data = self._extension(_number(block, 124, 136))
            if kind == _PAX_GLOBAL:
                common |= _pax(data)
            elif kind == _PAX:
                own |= _pax(data)
            else:
                own["path" if kind == _GNU_NAME else "linkpath"] = _text(data.partition(b"\0")[0])
        if len(block) < BLOCK:
            raise InvalidArgumentError("tar is cut short: the zeros at its end are missing")
        self._only_zeros()

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes of the present member; none at its end."""
        data = self._exactly(min(size, self._left, CHUNK_BYTES))
        self._left -= len(data)
        return data

    def _skip(self) -> None:
        while self.read(CHUNK_BYTES):
            pass
        self._exactly(self._padding)

    def _extension(self, size: int) -> bytes:
        if size > MAX_EXTENSION_BYTES:
            raise InvalidArgumentError(
                f"tar has an extended header of {size} bytes; the most are {MAX_EXTENSION_BYTES}"
            )
        return self._exactly(size + -size % BLOCK)[:size]

    def _only_zeros(self) -> None:
        while data := self._stream.read(CHUNK_BYTES):
            if any(data):
                raise InvalidArgumentError("tar is followed by something else")

    def _exactly(self, size: int) -> bytes:
        data = self._upto(size)
        if len(data) < size:
            raise InvalidArgumentError("tar ends in the middle of a member")
        return data

    def _upto(self, size: int) -> bytes:
        parts = []
        while size and (data := self._stream.read(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


def _member(block: bytes, kind: str, changes: dict[str, str]) -> Member:
    name = changes.get("path", _name(block))
    if kind in _FILES:
        kind = Type.DIRECTORY if kind != "7" and name.endswith("/") else Type.FILE
    problem = _REFUSED.get(kind, "" if kind in set(Type) else f"is of the unknown type {kind!r}")
    if _SPARSE in changes:
        problem = _REFUSED["S"]
    if problem:
        raise InvalidArgumentError(f"tar member {name[:200]!r} {problem}")
    size = _decimal(changes, "size", _number(block, 124, 136))
    return Member(
        name=name,
        type=Type(kind),
        # only a file has data, whatever else a header says
        size=size if kind == Type.FILE else 0,
        mode=_number(block, 100, 108),
        uid=_decimal(changes, "uid", _number(block, 108, 116)),
        gid=_decimal(changes, "gid", _number(block, 116, 124)),
        link=changes.get("linkpath", _text(block[157:257].partition(b"\0")[0])),
    )


def _name(block: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    # GNU's own format, "ustar  ", has other things in the prefix's place
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(block: bytes, start: int, end: int) -> int:
    """An octal number, or a base-256 one, which GNU writes where octal is too short."""
    field = block[start:end]
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise InvalidArgumentError("tar header has a negative or too large number")
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip()
    if not digits:
        return 0
    if any(digit not in b"01234567" for digit in digits):
        raise InvalidArgumentError(f"tar header has {digits!r} for an octal number")
    return int(digits, 8)


def _decimal(changes: dict[str, str], key: str, default: int) -> int:
    text = changes.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InvalidArgumentError(f"tar header has {text[:40]!r} for its {key}")
    return int(text)


def _check_sum(block: bytes) -> None:
    # the sum is made with spaces in its own place
    found = sum(block) - sum(block[148:156]) + 8 * ord(" ")
    if found != _number(block, 148, 156):
        raise InvalidArgumentError("layer is no tar, or damaged: a header's checksum is wrong")


def _pax(data: bytes) -> dict[str, str]:
    """Read records of the form `length key=value\\n`, where the length counts all of it.

    Only those that mean something to us are kept, so that no number of headers fills the memory.
    """
    records = {}
    while data and data != b"\0" * len(data):
        digits, separator, _ = data[:20].partition(b" ")
        length = int(digits) if separator and digits.isdigit() else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record[:-1].partition(b"=")
        if length > len(data) or not equals or record[-1:] != b"\n":
            raise InvalidArgumentError("tar has a malformed extended header")
        name = _SPARSE if key.startswith(_SPARSE.encode()) else _text(key)
        if name in _KEPT_RECORDS:
            records[name] = _text(value)
        data = data[length:]
    return records
