"""What a key-value store does for a guest, and how it fails.

Rules: no imports of a backend. Keys are texts, values bytes, counters decimal texts, so that a
counter reads the same through `get` whatever keeps it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

MAX_KEY_BYTES = 1024
# What one answer to list-keys holds at most.
PAGE_KEYS = 1000


class StoreError(Exception):
    """The store cannot do it; the text is for the guest and its logs."""


class NoSuchStore(StoreError):  # noqa: N818 (the interface's own word)
    """The pod names no store of this name."""


class AccessDenied(StoreError):  # noqa: N818 (the interface's own word)
    """The container's user may not use the store, or its pod not reach it."""


class Backend(Protocol):
    """One store. Each call may wait for other processes, and raises `StoreError`."""

    def close(self) -> None:
        """Let go of it."""

    def get(self, key: str) -> bytes | None:
        """The value of a key."""

    def set(self, key: str, value: bytes) -> None:
        """Give a key a value."""

    def delete(self, key: str) -> None:
        """Forget a key, if it is there."""

    def exists(self, key: str) -> bool:
        """Whether a key has a value."""

    def keys(self, cursor: int) -> tuple[Sequence[str], int | None]:
        """Some keys, and where to go on, None at the end; 0 begins."""

    def increment(self, key: str, delta: int) -> int:
        """Add to the decimal number that a key holds, 0 if none, at once; the sum."""

    def swap(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """Give a key a value if it has the expected one; whether it had."""

    def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """The values of keys, in their order."""

    def set_many(self, values: Mapping[str, bytes]) -> None:
        """Give keys their values."""

    def delete_many(self, keys: Sequence[str]) -> None:
        """Forget keys."""


def not_a_number(key: str) -> StoreError:
    """What `increment` says of another value."""
    return StoreError(f"the value of key {key[:80]!r} is not a decimal number of 64 bits")


def too_large(key: str) -> StoreError:
    """What `increment` says of a sum that 64 bits with a sign cannot hold."""
    return StoreError(f"the value of key {key[:80]!r} would not fit into 64 bits")
