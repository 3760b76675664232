"""The SQLite store against a dictionary, and against what a file can be."""

import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shim.stores import sqlite
from shim.stores.ports import PAGE_KEYS, AccessDenied, StoreError
from shim.stores.sqlite import SqliteStore

KEYS = st.sampled_from(["a", "b", "ü", "", "a\0b", "c" * 1000])
VALUES = st.binary(max_size=40) | st.integers(-(1 << 63), (1 << 63) - 1).map(lambda n: b"%d" % n)


def sum_of(value: bytes, delta: int) -> int | None:
    """What an increment makes of a value, None where it must refuse."""
    if not re.fullmatch(rb"-?[0-9]{1,19}", value):
        return None
    total = int(value) + delta
    return total if -(1 << 63) <= total < 1 << 63 else None


class Model(RuleBasedStateMachine):
    """Two connections to one file do what one dictionary does."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = f"{self.folder.name}/x.db"
        self.stores = (SqliteStore(path), SqliteStore(path))
        self.model: dict[str, bytes] = {}
        self.turn = 0

    @property
    def store(self) -> SqliteStore:
        self.turn += 1
        return self.stores[self.turn % 2]

    @rule(key=KEYS, value=VALUES)
    def set(self, key: str, value: bytes) -> None:
        self.store.set(key, value)
        self.model[key] = value

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.store.delete(key)
        self.model.pop(key, None)

    @rule(key=KEYS, delta=st.integers(-(1 << 63), (1 << 63) - 1))
    def increment(self, key: str, delta: int) -> None:
        total = sum_of(self.model.get(key, b"0"), delta)
        if total is not None:
            assert self.store.increment(key, delta) == total
            self.model[key] = b"%d" % total
        else:
            with pytest.raises(StoreError, match="64 bits"):
                self.store.increment(key, delta)

    @rule(key=KEYS, expected=st.none() | VALUES, right=st.booleans(), value=VALUES)
    def swap(self, key: str, expected: bytes | None, right: bool, value: bytes) -> None:
        current = self.model.get(key)
        expected = current if right else expected
        assert self.store.swap(key, expected, value) is (expected == current)
        if expected == current:
            self.model[key] = value

    @rule(values=st.dictionaries(KEYS, VALUES))
    def set_many(self, values: dict[str, bytes]) -> None:
        self.store.set_many(values)
        self.model |= values

    @rule(keys=st.lists(KEYS))
    def delete_many(self, keys: list[str]) -> None:
        self.store.delete_many(keys)
        for key in keys:
            self.model.pop(key, None)

    @rule(keys=st.lists(KEYS))
    def get_many(self, keys: list[str]) -> None:
        assert self.store.get_many(keys) == [self.model.get(key) for key in keys]

    @rule(key=KEYS)
    def exists(self, key: str) -> None:
        assert self.store.exists(key) is (key in self.model)

    @invariant()
    def same(self) -> None:
        keys, following = self.store.keys(0)
        assert sorted(keys) == sorted(self.model)
        assert following is None
        for key, value in self.model.items():
            assert self.store.get(key) == value

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()


Model.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestModel = Model.TestCase


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(str(tmp_path / "x.db"))
    yield made
    made.close()


def all_keys(store: SqliteStore) -> list[str]:
    found: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        keys, cursor = store.keys(cursor)
        found += keys
    return found


def test_pages(store: SqliteStore) -> None:
    names = [f"key{number}" for number in range(2 * PAGE_KEYS)]
    store.set_many(dict.fromkeys(names, b""))
    assert all_keys(store) == names
    assert store.keys((1 << 64) - 1) == ([], None)


def test_keys_that_stay_are_listed_once_whatever_else_happens(store: SqliteStore) -> None:
    names = [f"key{number}" for number in range(3 * PAGE_KEYS)]
    store.set_many(dict.fromkeys(names, b""))
    keys, cursor = store.keys(0)
    assert cursor is not None
    store.delete_many(names[: PAGE_KEYS // 2])
    store.set(names[0], b"back")
    store.set(names[-1], b"again")
    rest: list[str] = []
    following: int | None = cursor
    while following is not None:
        more, following = store.keys(following)
        rest += more
    assert [*keys, *rest] == [*names, names[0]]


def test_failed_batch_changes_nothing(store: SqliteStore) -> None:
    with pytest.raises(UnicodeEncodeError):
        store.set_many({"a": b"1", "\ud800": b"2"})
    assert all_keys(store) == []


def test_threads_keep_every_increment(store: SqliteStore) -> None:
    def work() -> None:
        for _ in range(50):
            store.increment("n", 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("n") == b"200"


def test_file_of_a_local_volume_has_a_log(store: SqliteStore, tmp_path: Path) -> None:
    store.set("a", b"1")
    assert (tmp_path / "x.db-wal").exists()


def test_other_volumes_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_LOCAL", frozenset())
    one, two = SqliteStore(str(tmp_path / "x.db")), SqliteStore(str(tmp_path / "x.db"))
    try:
        one.set("a", b"1")
        assert two.increment("a", 2) == 3
        assert not (tmp_path / "x.db-wal").exists()
    finally:
        one.close()
        two.close()


@pytest.mark.parametrize(
    ("path", "reason"),
    [("missing/x.db", "unable to open"), ("folder", "unable to open"), ("text", "not a database")],
)
def test_what_cannot_be_opened(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database" * 1000)
    with pytest.raises(StoreError, match=reason) as caught:
        SqliteStore(str(tmp_path / path))
    assert not isinstance(caught.value, AccessDenied)


def test_table_of_somebody_else_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE tandem_keyvalue (id INTEGER PRIMARY KEY, key UNIQUE, value)")
        other.execute("INSERT INTO tandem_keyvalue VALUES (1, 'a', 'text')")
        other.execute("INSERT INTO tandem_keyvalue VALUES (2, x'00', x'00')")
    other.close()
    store = SqliteStore(os.fspath(path))
    try:
        for ask in (lambda: store.get("a"), lambda: store.increment("a", 1), lambda: store.keys(0)):
            with pytest.raises(StoreError, match="of another kind"):
                ask()
        store.set("a", b"1")
        assert store.get("a") == b"1"
    finally:
        store.close()


def test_locked_file_is_an_error_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.2)
    store = SqliteStore(str(tmp_path / "x.db"))
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            store.set("a", b"1")
        other.execute("ROLLBACK")
        store.set("a", b"1")
    finally:
        other.close()
        store.close()
