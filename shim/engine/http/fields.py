"""Header fields as wasi:http defines them: names in lower case, values as bytes, order kept.

Rules: pure. What a guest may not set, because it belongs to the connection, is refused by name.
Sources: wasi:http/types `fields` and `header-error`; RFC 9110 5.1 and 5.5.
"""

import re
from collections.abc import Iterable

Field = tuple[bytes, bytes]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
_FORBIDDEN = frozenset(
    (
        b"connection", b"host", b"http2-settings", b"keep-alive", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-connection", b"transfer-encoding", b"upgrade",
    )
)  # fmt: skip


class FieldError(Exception):
    """A field is refused; `case` is the case of `header-error`."""

    def __init__(self, case: bytes) -> None:
        super().__init__(case)
        self.case = case


class Fields:
    """A collection of fields, which the guest may change unless they are of something it got."""

    __slots__ = ("fields", "mutable")

    def __init__(self, fields: Iterable[Field] = (), *, mutable: bool = True) -> None:
        self.fields: list[Field] = list(fields)
        self.mutable = mutable

    def append(self, name: bytes, value: bytes) -> None:
        """Add a field.

        Raises:
            FieldError: name or value is refused, or the fields are immutable.
        """
        self._check_mutable()
        self.fields.append((checked_name(name), checked_value(value)))

    def get(self, name: bytes) -> list[bytes]:
        """The values of a name, in order."""
        name = name.lower()
        return [value for known, value in self.fields if known == name]

    def set(self, name: bytes, values: Iterable[bytes]) -> None:
        """Replace the values of a name.

        Raises:
            FieldError: as for `append`.
        """
        self._check_mutable()
        name = checked_name(name)
        fresh = [(name, checked_value(value)) for value in values]
        self.fields = [field for field in self.fields if field[0] != name] + fresh

    def delete(self, name: bytes) -> None:
        """Drop the values of a name.

        Raises:
            FieldError: the name is refused, or the fields are immutable.
        """
        self.set(name, ())

    def _check_mutable(self) -> None:
        if not self.mutable:
            raise FieldError(b"immutable")


def checked_name(name: bytes) -> bytes:
    """A name in lower case.

    Raises:
        FieldError: it is no token, or belongs to the connection.
    """
    if not _TOKEN(name):
        raise FieldError(b"invalid-syntax")
    name = name.lower()
    if name in _FORBIDDEN:
        raise FieldError(b"forbidden")
    return name


def checked_value(value: bytes) -> bytes:
    """A value as it is.

    Raises:
        FieldError: it holds a control character, which could end the line.
    """
    if _BAD_VALUE(value):
        raise FieldError(b"invalid-syntax")
    return value
