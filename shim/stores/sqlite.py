"""A store in an SQLite file, which any number of processes of one node may have open.

Rules: every change is one transaction that takes the write lock first, so no increment is lost and
nobody has to give up in the middle. Sources: sqlite.org "Write-Ahead Logging", "Defense Against The
Dark Arts" (the guest may have written to the file itself), statfs(2).
"""

import contextlib
import ctypes
import os
import sqlite3
import time
from _thread import allocate_lock
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from shim.stores.ports import (
    PAGE_KEYS,
    AccessDenied,
    StoreError,
    not_a_number,
    too_large,
)

_T = TypeVar("_T")

_BUSY_S = 10.0
_MAX = (1 << 63) - 1
# A write-ahead log is memory that processes share, which network file systems do not give them:
# ext2-4, xfs, btrfs, f2fs, zfs, tmpfs, overlay.
_LOCAL = frozenset(
    (0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x2FC12FC1, 0x01021994, 0x794C7630)
)  # fmt: skip
_STATFS_BYTES = 256

_CREATE = (
    "CREATE TABLE IF NOT EXISTS tandem_keyvalue"
    " (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL)"
)
_GET = "SELECT value FROM tandem_keyvalue WHERE key = ?"
_EXISTS = "SELECT 1 FROM tandem_keyvalue WHERE key = ?"
_KEYS = "SELECT id, key FROM tandem_keyvalue WHERE id > ? ORDER BY id LIMIT ?"
_SET = (
    "INSERT INTO tandem_keyvalue (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
_DELETE = "DELETE FROM tandem_keyvalue WHERE key = ?"


class SqliteStore:
    """One file; see `Backend`. Threads take turns."""

    def __init__(self, path: str) -> None:
        """Open the file, and make it if its directory is there.

        Raises:
            AccessDenied: the container's user may not write to it.
            StoreError: why it cannot be opened.
        """
        self._path = path
        self._lock = allocate_lock()
        with self._errors():
            self._connection = sqlite3.connect(
                path,
                timeout=_BUSY_S,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=16,
            )
            try:
                self._run("PRAGMA trusted_schema = OFF")
                self._run("PRAGMA cell_size_check = ON")
                self._run("PRAGMA mmap_size = 0")
                _patiently(self._set_up)
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def get(self, key: str) -> bytes | None:
        """See `Backend`."""
        with self._errors():
            return self._get(key)

    def set(self, key: str, value: bytes) -> None:
        """See `Backend`."""
        with self._changes():
            self._run(_SET, key, value)

    def delete(self, key: str) -> None:
        """See `Backend`."""
        with self._changes():
            self._run(_DELETE, key)

    def exists(self, key: str) -> bool:
        """See `Backend`."""
        with self._errors():
            return bool(self._run(_EXISTS, key))

    def keys(self, cursor: int) -> tuple[Sequence[str], int | None]:
        """See `Backend`."""
        with self._errors():
            rows = self._run(_KEYS, min(cursor, _MAX), PAGE_KEYS + 1)
            page = rows[:PAGE_KEYS]
            more = len(rows) > PAGE_KEYS
            return [_checked(key, str) for _, key in page], page[-1][0] if more else None

    def increment(self, key: str, delta: int) -> int:
        """See `Backend`."""
        with self._changes():
            value = self._get(key)
            try:
                total = (0 if value is None else _number(value)) + delta
            except ValueError:
                raise not_a_number(key) from None
            if not -_MAX - 1 <= total <= _MAX:
                raise too_large(key)
            self._run(_SET, key, str(total).encode())
            return total

    def swap(self, key: str, expected: bytes | None, value: bytes) -> bool:
        """See `Backend`."""
        with self._changes():
            if self._get(key) != expected:
                return False
            self._run(_SET, key, value)
            return True

    def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """See `Backend`."""
        with self._errors():
            return [self._get(key) for key in keys]

    def set_many(self, values: Mapping[str, bytes]) -> None:
        """See `Backend`."""
        with self._changes():
            for key, value in values.items():
                self._run(_SET, key, value)

    def delete_many(self, keys: Sequence[str]) -> None:
        """See `Backend`."""
        with self._changes():
            for key in keys:
                self._run(_DELETE, key)

    def _set_up(self) -> None:
        # What was acknowledged survives the end of every process; with the log, the last moments
        # before a power failure may be lost, but nothing is torn.
        if _is_local(self._path):
            self._run("PRAGMA journal_mode = WAL")
            self._run("PRAGMA synchronous = NORMAL")
        else:
            self._run("PRAGMA journal_mode = TRUNCATE")
            self._run("PRAGMA synchronous = FULL")
        self._run(_CREATE)

    def _get(self, key: str) -> bytes | None:
        rows = self._run(_GET, key)
        return _checked(rows[0][0], bytes) if rows else None

    def _run(self, statement: str, *values: object) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _changes(self) -> Iterator[None]:
        with self._errors():
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self._run("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._run("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise self._error(error) from error

    def _error(self, error: sqlite3.Error) -> StoreError:
        text = f"{self._path}: {error}"
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM} or self._is_forbidden(code):
            return AccessDenied(text)
        return StoreError(text)

    def _is_forbidden(self, code: int) -> bool:
        if code != sqlite3.SQLITE_CANTOPEN:
            return False
        path = Path(self._path)
        if path.exists():
            return not os.access(path, os.R_OK | os.W_OK)
        return path.parent.is_dir() and not os.access(path.parent, os.W_OK | os.X_OK)


def _patiently(work: Callable[[], _T]) -> _T:
    """The first who opens a file changes its mode, and others are refused meanwhile, however
    patient they said that they were."""
    deadline = time.monotonic() + _BUSY_S
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _is_local(path: str) -> bool:
    libc = ctypes.CDLL(None)
    found = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    if libc.statfs(os.fsencode(path), found):
        return False
    return found[0] & 0xFFFFFFFF in _LOCAL


def _number(text: bytes) -> int:
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise ValueError(text)
    return int(text)


def _checked(value: object, kind: type[_T]) -> _T:
    # The guest may have made the table itself.
    if not isinstance(value, kind):
        raise StoreError("the file's table holds values of another kind")
    return value
