"""wasi:config and wasi:keyvalue as components see them, each in a process of its own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import component

from shim.engine.config import new_engine
from shim.engine.guest import GuestFailure
from shim.engine.interfaces.provider import INTERFACES, Provider
from shim.engine.linkers import new_component_linker
from shim.stores.opened import Stores
from shim.stores.options import GuestOptions, SqlitePlace
from shim.stores.sqlite import SqliteStore
from tests.support import engine_runs
from tests.support.interface_guests import (
    DRAFT,
    DRAFT2,
    SPIN,
    Draft,
    forwarding,
    forwarding_config,
    keyvalue_imports,
    store_functions,
)

DRAFTS = pytest.mark.parametrize("draft", [DRAFT, DRAFT2, SPIN], ids=["draft", "draft2", "spin"])


class Guest:
    """An instance of a forwarding component; `guest("store-open", "x")` calls its functions."""

    def __init__(self, text: str, options: GuestOptions, **env: str) -> None:
        engine = new_engine()
        self.made = component.Component(engine, text)
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(wasmtime.WasiConfig())
        linker = new_component_linker(engine)
        self.provider = Provider(options, env.items(), Stores(options))
        self.provider.link(linker, self.made.type.imports(engine), engine)
        self.instance = linker.instantiate(self.store, self.made)

    def __call__(self, name: str, *values: object) -> Any:
        function = self.instance.get_func(self.store, name)
        assert function is not None, name
        return function(self.store, *values)

    def fails(self, name: str, *values: object) -> tuple[str, str | None]:
        """The error that a function answers: its case, and its text."""
        found = self(name, *values)
        assert isinstance(found, component.Variant), found
        return found.tag, found.payload


def in_child(work: Callable[[], None]) -> str:
    """Run it in a process of its own, since running Wasm starts threads; what it wrote to stderr.

    Whatever it asserts is raised here as text.
    """

    def body() -> int:
        work()
        return 0

    ended = engine_runs.forked(body)
    assert ended.status == 0, ended.stderr
    return ended.stderr


def state(folder: Path, **more: Any) -> GuestOptions:
    return GuestOptions(stores=(("state", SqlitePlace(f"{folder}/x.db")),), **more)


@DRAFTS
def test_life_of_a_key(tmp_path: Path, draft: Draft) -> None:
    def work() -> None:
        guest = Guest(forwarding(draft), state(tmp_path))
        bucket = guest("store-open", "state")
        assert guest("store-bucket-get", bucket, "k") is None
        assert guest("store-bucket-exists", bucket, "k") is False
        everything = bytes(range(256)) * 8
        assert guest("store-bucket-set", bucket, "kü", everything) is None
        assert guest("store-bucket-get", bucket, "kü") == everything
        assert guest("store-bucket-exists", bucket, "kü") is True
        again = guest("store-open", "state")
        assert guest("store-bucket-get", again, "kü") == everything
        assert guest("store-bucket-set", bucket, "", b"") is None
        assert guest("store-bucket-get", bucket, "") == b""
        assert guest("store-bucket-delete", bucket, "kü") is None
        assert guest("store-bucket-get", again, "kü") is None

    assert in_child(work) == ""


@DRAFTS
def test_keys_come_in_pages(tmp_path: Path, draft: Draft) -> None:
    names = [f"key{number}" for number in range(2100)]
    writer = SqliteStore(f"{tmp_path}/x.db")
    writer.set_many(dict.fromkeys(names, b""))
    writer.close()

    def work() -> None:
        guest = Guest(forwarding(draft), state(tmp_path))
        bucket = guest("store-open", "state")
        found: list[str] = []
        cursor = None
        for _ in range(3):
            page = guest("store-bucket-list-keys", bucket, cursor)
            found += page.keys
            cursor = page.cursor
            kind = str if draft.cursor == "string" else int
            assert cursor is None or isinstance(cursor, kind)
        assert cursor is None
        assert found == names
        if draft.cursor == "string":
            case = guest.fails("store-bucket-list-keys", bucket, "key1")
            assert case == ("other", "the cursor is none that list-keys has given")

    in_child(work)


@DRAFTS
def test_batches_in_the_shape_that_the_component_declares(tmp_path: Path, draft: Draft) -> None:
    def work() -> None:
        guest = Guest(forwarding(draft), state(tmp_path))
        bucket = guest("store-open", "state")
        pairs = [pair("a", b"1"), pair("b", b"")]
        assert guest("batch-set-many", bucket, pairs) is None
        found = guest("batch-get-many", bucket, ["b", "x", "a"])
        if draft is SPIN:
            assert found == [("b", b""), ("x", None), ("a", b"1")]
        else:
            assert found == [("b", b""), None, ("a", b"1")]
        assert guest("batch-delete-many", bucket, ["a", "x"]) is None
        assert guest("store-bucket-list-keys", bucket, None).keys == ["b"]
        case, text = guest.fails("batch-delete-many", bucket, ["k"] * 10_001)
        assert (case, text) == ("other", "a batch of 10001 keys is too large; 10000 are allowed")

    in_child(work)


def pair(key: str, value: bytes) -> tuple[str, bytes]:
    return key, value


@DRAFTS
def test_increments(tmp_path: Path, draft: Draft) -> None:
    def work() -> None:
        guest = Guest(forwarding(draft), state(tmp_path))
        bucket = guest("store-open", "state")
        assert guest("atomics-increment", bucket, "n", 1 << 40) == 1 << 40
        assert guest("store-bucket-get", bucket, "n") == str(1 << 40).encode()
        guest("store-bucket-set", bucket, "n", b"-5")
        if draft.number == "s64":
            assert guest("atomics-increment", bucket, "n", -(1 << 62)) == -5 - (1 << 62)
        else:
            case, text = guest.fails("atomics-increment", bucket, "n", 1)
            assert (case, text) == ("other", "the value of key 'n' is negative: -4")
            case, text = guest.fails("atomics-increment", bucket, "n", 1 << 63)
            assert (case, text) == ("other", f"the delta {1 << 63} does not fit into 63 bits")
        guest("store-bucket-set", bucket, "n", b"many")
        case, text = guest.fails("atomics-increment", bucket, "n", 1)
        assert case == "other"
        assert "'n' is not a decimal number" in (text or "")

    in_child(work)


def test_compare_and_swap(tmp_path: Path) -> None:
    def work() -> None:
        guest = Guest(forwarding(DRAFT2), state(tmp_path))
        bucket = guest("store-open", "state")
        cas = guest("atomics-cas-new", bucket, "k")
        assert guest("atomics-cas-current", cas) is None
        assert guest("atomics-swap", cas, b"1") is None
        assert guest("store-bucket-get", bucket, "k") == b"1"
        cas = guest("atomics-cas-new", bucket, "k")
        guest("store-bucket-set", bucket, "k", b"2")
        assert guest("atomics-cas-current", cas) == b"1"
        renewed = guest("atomics-swap", cas, b"lost")
        assert guest("atomics-cas-current", renewed) == b"2"
        assert guest("store-bucket-get", bucket, "k") == b"2"
        assert guest("atomics-swap", renewed, b"3") is None
        assert guest("store-bucket-get", bucket, "k") == b"3"

    in_child(work)


def test_handles_that_are_dropped_and_handles_that_are_kept(tmp_path: Path) -> None:
    def work() -> None:
        guest = Guest(forwarding(DRAFT2), state(tmp_path))
        bucket = guest("store-open", "state")
        cas = guest("atomics-cas-new", bucket, "k")
        # Its number is that of a bucket, too.
        for _ in range(3):
            guest("store-open", "state").drop(guest.store)
        assert guest("atomics-cas-current", cas) is None
        kept = [guest("atomics-cas-new", bucket, "k") for _ in range(1023)]
        case, text = guest.fails("atomics-cas-new", bucket, "k")
        assert (case, text) == ("other", "more than 1024 cas handles are open; drop some")
        kept.pop().drop(guest.store)
        kept.append(guest("atomics-cas-new", bucket, "k"))
        guest.provider.forget(0)
        with pytest.raises(wasmtime.WasmtimeError, match="KeyError"):
            guest("atomics-cas-current", cas)

    in_child(work)


def test_errors_of_opening_are_the_interfaces_and_told_in_the_log(tmp_path: Path) -> None:
    def work() -> None:
        options = GuestOptions(
            stores=(("state", SqlitePlace("/proc/x.db")), ("gone", SqlitePlace("/nowhere/x.db")))
        )
        guest = Guest(forwarding(DRAFT2), options)
        assert guest.fails("store-open", "default") == ("no-such-store", None)
        case, text = guest.fails("store-open", "gone")
        assert (case, text) == ("other", "/nowhere/x.db: unable to open database file")

    told = in_child(work)
    assert told.splitlines() == [
        "tandem: store 'default': the pod names no store 'default'",
        "tandem: store 'gone': /nowhere/x.db: unable to open database file",
    ]


@pytest.mark.root
def test_user_without_rights_is_denied_access(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    made = SqliteStore(f"{tmp_path}/x.db")
    made.set("k", b"1")
    made.close()

    def work() -> None:
        options = state(tmp_path)
        options = GuestOptions(stores=(*options.stores, ("new", SqlitePlace(f"{tmp_path}/y.db"))))
        guest = Guest(forwarding(DRAFT2), options)
        open_to_all(tmp_path)
        os.setgid(65534)
        os.setuid(65534)
        assert guest.fails("store-open", "state") == ("access-denied", None)
        assert guest.fails("store-open", "new") == ("access-denied", None)

    in_child(work)


def open_to_all(folder: Path) -> None:
    """Let others reach a folder of pytest's, without writing to it."""
    for parent in folder.parents[:2]:
        parent.chmod(0o755)


def test_bounds(tmp_path: Path) -> None:
    def work() -> None:
        guest = Guest(forwarding(DRAFT2), state(tmp_path, max_value_bytes=4))
        bucket = guest("store-open", "state")
        assert guest("store-bucket-set", bucket, "k" * 1024, b"1234") is None
        case, text = guest.fails("store-bucket-set", bucket, "k", b"12345")
        assert (case, text) == ("other", "a value has 5 bytes, and may have 4")
        case, text = guest.fails("batch-set-many", bucket, [pair("a", b"1"), pair("k", b"12345")])
        assert case == "other"
        assert guest("store-bucket-get", bucket, "a") is None
        for ask in ("store-bucket-get", "store-bucket-exists", "store-bucket-delete"):
            case, text = guest.fails(ask, bucket, "k" * 1025)
            assert case == "other"
            assert "has more than 1024 bytes" in (text or "")
        cas = guest("atomics-cas-new", bucket, "k")
        refused = guest("atomics-swap", cas, b"12345")
        assert (refused.tag, refused.payload) == ("other", "a value has 5 bytes, and may have 4")

        other = SqliteStore(f"{tmp_path}/x.db")
        other.set_many(dict.fromkeys("abcd", b"1234") | {"large": b"12345", "e": b"1"})
        too_large = ("other", "the answer would have 5 bytes, and may have 4")
        assert guest.fails("store-bucket-get", bucket, "large") == too_large
        assert guest.fails("atomics-cas-new", bucket, "large") == too_large
        assert len(guest("batch-get-many", bucket, list("abcd"))) == 4
        too_many = ("other", "the answer would have 17 bytes, and may have 16")
        assert guest.fails("batch-get-many", bucket, list("abcde")) == too_many
        other.close()

    in_child(work)


@pytest.mark.parametrize("name", [name for name in INTERFACES if name.startswith("wasi:config")])
def test_configuration(tmp_path: Path, name: str) -> None:
    (tmp_path / "size").write_text("9")

    def work() -> None:
        options = GuestOptions((("colour", "blü"), ("empty", "")), (str(tmp_path),))
        guest = Guest(forwarding_config(name), options, WASI_CONFIG_shape="round", PASSWORD="x")
        assert guest("config-get", "colour") == "blü"
        assert guest("config-get", "empty") == ""
        assert guest("config-get", "size") == "9"
        assert guest("config-get", "shape") == "round"
        assert guest("config-get", "PASSWORD") is None
        found = guest("config-get-all")
        assert found == [("colour", "blü"), ("empty", ""), ("shape", "round"), ("size", "9")]
        (tmp_path / "size").write_text("10")
        assert guest("config-get", "size") == "10"
        (tmp_path / "size").unlink()
        tmp_path.rmdir()
        missing = f"configuration directory {tmp_path}: No such file or directory"
        assert guest.fails("config-get", "size") == ("io", missing)
        assert guest.fails("config-get-all") == ("io", missing)
        assert guest("config-get", "colour") == "blü"

    in_child(work)
    tmp_path.mkdir()


def test_functions_of_other_types_are_refused(tmp_path: Path) -> None:
    """A number where we read a string would be an address of the component's choice."""
    functions = store_functions(DRAFT2)
    functions["[method]bucket.get"] = (("(borrow $bucket)", "u64"), "(option (list u8))")
    strange = f"(component {keyvalue_imports(DRAFT2, functions)})"
    functions = store_functions(DRAFT2) | {"drop-everything": ((), "")}
    unknown = f"(component {keyvalue_imports(DRAFT2, functions)})"

    def work() -> None:
        text = r"\[method\]bucket.get of wasi:keyvalue/store@0.2.0-draft2 as \(borrow,u64\)->result"
        with pytest.raises(GuestFailure, match=text) as caught:
            Guest(strange, state(tmp_path))
        assert "; Tandem has (borrow,string)->result<option<list<u8>>," in str(caught.value)
        with pytest.raises(GuestFailure, match="Tandem has no such function"):
            Guest(unknown, state(tmp_path))

    in_child(work)
