"""A store in a Redis database, which anybody may share.

Rules: nothing is sent twice, since a lost answer does not tell whether an increment was counted.
Every connection is made by the dialer, which judges name and address each time.
Everything that a call needs is imported with this module: in the jail there is nothing to import.
"""

import contextlib
import encodings.idna
import logging
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import redis
import redis.observability.attributes
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    WatchError,
)
from redis.retry import Retry

from shim.outbound.dial import Dialer, DialError
from shim.outbound.target import Target
from shim.stores.options import RedisPlace
from shim.stores.ports import PAGE_KEYS, AccessDenied, StoreError, not_a_number, too_large

# What the library and the look-up of names import when they are used.
_IMPORTED_LATE = (encodings.idna, logging, secrets, redis.observability.attributes)
_TIMEOUT_S = 5
_MAX_PASSWORD_BYTES = 4096


class _Connection(redis.Connection):
    """The library's, but for who connects."""

    def __init__(self, dialer: Dialer, target: Target, **options: Any) -> None:
        super().__init__(host=target.host, port=target.port, **options)  # type: ignore[no-untyped-call]
        self._dialer = dialer
        self._target = target

    def _connect(self) -> socket.socket:
        made = self._dialer.connect(self._target, _TIMEOUT_S, to_self=False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in self.socket_keepalive_options.items():
            made.setsockopt(socket.IPPROTO_TCP, option, value)
        made.settimeout(self.socket_timeout)
        return made


class RedisStore:
    """One database; see `Backend`. Threads have a connection each."""

    def __init__(self, place: RedisPlace, dialer: Dialer) -> None:
        """Connect.

        Raises:
            AccessDenied: the server may not be reached, or does not accept the user, or the
                password cannot be read.
            StoreError: there is no such server.
        """
        target = place.target
        self._name = f"{target.scheme}://{target.authority}/{place.database}"
        pool = redis.ConnectionPool(
            connection_class=_Connection,
            dialer=dialer,
            target=target,
            db=place.database,
            username=place.username or None,
            password=place.password or _password(place.password_file) or None,
            socket_timeout=_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self._client = redis.Redis(connection_pool=pool)
        with self._errors():
            self._client.ping()

    def close(self) -> None:
        """Hang up."""
        self._client.connection_pool.disconnect()

    def get(self, key: str) -> bytes | None:
        """See `Backend`."""
        with self._errors():
            return _bytes(self._client.get(key))

    def set(self, key: str, value: bytes) -> None:
        """See `Backend`."""
        with self._errors():
            self._client.set(key, value)

    def delete(self, key: str) -> None:
        """See `Backend`."""
        with self._errors():
            self._client.delete(key)

    def exists(self, key: str) -> bool:
        """See `Backend`."""
        with self._errors():
            return bool(self._client.exists(key))

    def keys(self, cursor: int) -> tuple[Sequence[str], int | None]:
        """See `Backend`. A key that was there all the time may come twice, as the server says."""
        with self._errors():
            following, found = cast(
                "tuple[int, list[bytes]]", self._client.scan(cursor, count=PAGE_KEYS)
            )
            # Others may use keys that are no texts, which no guest can ask for.
            texts = [key.decode(errors="ignore") for key in found]
            keys = [text for text, key in zip(texts, found, strict=True) if text.encode() == key]
            return keys, int(following) or None

    def increment(self, key: str, delta: int) -> int:
        """See `Backend`."""
        with self._errors(key):
            return int(self._client.incrby(key, delta))

    def swap(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """See `Backend`."""
        with self._errors(), self._client.pipeline() as pipeline:
            pipeline.watch(key)  # type: ignore[no-untyped-call]
            if _bytes(pipeline.get(key)) != expected:
                return False
            pipeline.multi()
            pipeline.set(key, value)
            try:
                pipeline.execute()
            except WatchError:
                return False
            return True

    def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """See `Backend`."""
        with self._errors():
            return [_bytes(value) for value in self._client.mget(keys)] if keys else []

    def set_many(self, values: Mapping[str, bytes]) -> None:
        """See `Backend`."""
        with self._errors():
            if values:
                self._client.mset(dict(values))

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend`."""
        with self._errors():
            if keys:
                self._client.delete(*keys)

    @contextlib.contextmanager
    def _errors(self, key: str = "") -> Iterator[None]:
        try:
            yield
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise AccessDenied(f"{self._name}: {error}") from error
        except DialError as error:
            kind = AccessDenied if error.is_refusal else StoreError
            raise kind(f"{self._name}: {error}") from error
        except (RedisError, OSError) as error:
            text = str(error)
            if "not an integer" in text:
                raise not_a_number(key) from error
            if "would overflow" in text:
                raise too_large(key) from error
            raise StoreError(f"{self._name}: {text}") from error


def _bytes(value: object) -> bytes | None:
    return value if isinstance(value, bytes) else None


def _password(file: str) -> str:
    if not file:
        return ""
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_MAX_PASSWORD_BYTES).decode().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise AccessDenied(f"password file {file} cannot be read: {error}") from error
