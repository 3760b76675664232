"""JSON documents whose writer is not trusted, with typed access to their members.

Rules: no I/O; unknown members are ignored, a member of the wrong type is an `InvalidArgumentError`
that names it, and null is as good as absent.
"""

import json
from collections.abc import Iterator
from typing import Any, TypeVar, cast

from shim.errdefs import InvalidArgumentError

_T = TypeVar("_T")


def load_json(document: bytes, name: str) -> object:
    """Read JSON; `name` is for the error.

    Raises:
        InvalidArgumentError: it is not valid, or nested too deeply.
    """
    return _load(document, name, None)


def load_foreign_json(document: bytes, name: str, max_bytes: int) -> object:
    """Read JSON from a registry: bounded, and with one meaning.

    Two readers need not agree on which of two members of the same name counts.

    Raises:
        InvalidArgumentError: it is too long, not valid, nested too deeply, or has a member twice.
    """
    if len(document) > max_bytes:
        raise InvalidArgumentError(
            f"{name} has {len(document)} bytes, and {max_bytes} are the most that are read"
        )
    return _load(document, name, _members_once)


def _load(document: bytes, name: str, hook: Any) -> object:
    try:
        value: object = json.loads(document, object_pairs_hook=hook)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentError(f"{name} is not valid JSON: {error}") from error
    return value


def _members_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a member twice")
    return members


class Node:
    """A JSON object with typed access; errors name the member's full path."""

    def __init__(self, value: object, path: str, document: str = "config.json: ") -> None:
        """`document` is what every error begins with."""
        if not isinstance(value, dict):
            raise InvalidArgumentError(f"{document}{path or 'the document'} is not an object")
        self._members: dict[str, object] = value
        self._path = path
        self._document = document

    def __contains__(self, name: str) -> bool:
        return self._members.get(name) is not None

    @property
    def is_empty(self) -> bool:
        """Whether it has no members."""
        return not self._members

    def get(self, name: str, kind: type[_T], default: _T) -> _T:
        """The member of this type, or the default where there is none."""
        value = self._members.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            wanted = f"{'an' if kind is int else 'a'} {kind.__name__}"
            raise InvalidArgumentError(f"{self.name(name)} is not {wanted}")
        self._check(name, value)
        return value

    def optional_int(self, name: str) -> int | None:
        """The number, or None where there is none."""
        return None if self._members.get(name) is None else self.get(name, int, 0)

    def node(self, name: str) -> "Node":
        """The object of that name, empty where there is none."""
        value = self._members.get(name)
        return Node({} if value is None else value, self._below(name), self._document)

    def nodes(self, name: str) -> Iterator["Node"]:
        """The objects in the array of that name."""
        for index, value in enumerate(self.get(name, list, [])):
            yield Node(value, f"{self._below(name)}[{index}]", self._document)

    def of(self, name: str, kind: type[_T]) -> tuple[_T, ...]:
        """The array of that name, all of one type."""
        values: list[object] = self.get(name, list, [])
        for value in values:
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise InvalidArgumentError(
                    f"{self.name(name)} holds more than {kind.__name__} values"
                )
            self._check(name, value)
        return cast("tuple[_T, ...]", tuple(values))

    def string_map(self, name: str) -> dict[str, str]:
        """The object of that name, whose members are all strings."""
        members = self.get(name, dict, {})
        for key, value in members.items():
            if not isinstance(value, str):
                raise InvalidArgumentError(f"{self.name(name)}[{key[:200]!r}] is not a str")
        return members

    def _check(self, name: str, value: object) -> None:
        """Refuse what JSON can say and no system call can be told."""
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            problem = f"{value[:200]!r} holds a NUL or a lone surrogate"
        elif isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            problem = "does not fit into 64 bits"
        else:
            return
        raise InvalidArgumentError(f"{self.name(name)}: {problem}")

    def name(self, name: str) -> str:
        """What an error calls the member."""
        return f"{self._document}{self._below(name)}"

    def _below(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
