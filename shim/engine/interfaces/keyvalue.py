"""wasi:keyvalue: store and batch; `atomics` is beside it.

Rules: a bucket's number is that of its store, so a handle that nobody gives back costs nothing. The
drafts differ in types alone: a cursor is a number or that number as a text, and an answer to
get-many holds options of pairs, or pairs with options, as Spin's copy of the interface has it.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence

from shim.engine.http import native as n
from shim.engine.interfaces.calls import Call, Function, Interface
from shim.stores.ports import MAX_KEY_BYTES, Backend, StoreError

BUCKET = 101
ERROR = "variant{no-such-store,access-denied,other(string)}"
_MAX_BATCH = 10_000
# What one answer to get-many holds, in values of the largest size.
_MAX_ANSWER_VALUES = 4
_NAMES = (b"keys", b"cursor")


def bucket(call: Call) -> Backend:
    """The store that the first argument is."""
    return call.provider.stores[call.resource(0)]


def key_of(call: Call) -> str:
    """The key that the second argument is.

    Raises:
        StoreError: it is too long.
    """
    return _checked_key(call.text(1))


def checked_value(call: Call, value: bytes) -> bytes:
    """A value that the guest gives.

    Raises:
        StoreError: it is too large.
    """
    limit = call.provider.max_value_bytes
    if len(value) > limit:
        raise StoreError(f"a value has {len(value)} bytes, and may have {limit}")
    return value


def checked_answer(call: Call, *values: bytes | None) -> None:
    """Refuse an answer that would take too much memory: in wasmtime, a byte takes 32.

    Raises:
        StoreError: somebody else has put larger values there, or the guest asks for too many.
    """
    limit = call.provider.max_value_bytes * (1 if len(values) == 1 else _MAX_ANSWER_VALUES)
    size = sum(len(value) for value in values if value is not None)
    if size > limit:
        raise StoreError(f"the answer would have {size} bytes, and may have {limit}")


def _checked_key(key: str) -> str:
    if len(key.encode()) > MAX_KEY_BYTES:
        raise StoreError(f"key {key[:40]!r}... has more than {MAX_KEY_BYTES} bytes")
    return key


def _open(call: Call) -> None:
    name = call.text(0)
    try:
        number = call.provider.stores.open(name)
    except StoreError as error:
        # Most of these errors have no place for a text.
        with contextlib.suppress(OSError):
            os.write(2, f"tandem: store {name[:80]!r}: {error}\n".encode(errors="replace"))
        raise
    call.scratch.put_ok(call.out, number, BUCKET)


def _get(call: Call) -> None:
    value = bucket(call).get(key_of(call))
    checked_answer(call, value)
    call.ok_octets(value)


def _set(call: Call) -> None:
    store = bucket(call)
    store.set(key_of(call), checked_value(call, call.octets(2)))
    call.ok_nothing()


def _delete(call: Call) -> None:
    bucket(call).delete(key_of(call))
    call.ok_nothing()


def _exists(call: Call) -> None:
    found = bucket(call).exists(key_of(call))
    call.scratch.put_raw(call.scratch.first, n.TRUE if found else n.FALSE)
    call.ok()


def _keys_by_text(call: Call) -> None:
    store, cursor = bucket(call), call.place(1)
    text = n.text(n.some(cursor)) if n.is_some(cursor) else b"0"
    if not text.isdigit() or len(text) > 20:
        raise StoreError("the cursor is none that list-keys has given")
    keys, following = store.keys(int(text))
    _answer_keys(call, keys, None if following is None else str(following).encode())


def _keys_by_number(call: Call) -> None:
    store, cursor = bucket(call), call.place(1)
    keys, following = store.keys(n.u64(n.some(cursor)) if n.is_some(cursor) else 0)
    _answer_keys(call, keys, following)


def _answer_keys(call: Call, keys: Sequence[str], following: bytes | int | None) -> None:
    scratch = call.scratch
    first, second = call.put_record(scratch.first, _NAMES)
    call.put_texts(first, keys)
    match following:
        case None:
            scratch.put_raw(second, n.NONE)
        case int():
            scratch.put_u64(scratch.second, following)
            scratch.put_some(second, scratch.second)
        case _:
            scratch.put_some_text(second, following)
    call.ok()


def _get_many_options(call: Call) -> None:
    scratch, found = call.scratch, _found(call)
    places = scratch.put_list(scratch.first, len(found))
    for place, (key, value) in zip(places, found, strict=True):
        if value is None:
            scratch.put_raw(place, n.NONE)
        else:
            first, second = scratch.put_pair(scratch.second)
            scratch.put_text(first, key)
            scratch.put_octets(second, value)
            scratch.put_some(place, scratch.second)
    call.ok()


def _get_many_pairs(call: Call) -> None:
    scratch, found = call.scratch, _found(call)
    places = scratch.put_list(scratch.first, len(found))
    for place, (key, value) in zip(places, found, strict=True):
        first, second = scratch.put_pair(place)
        scratch.put_text(first, key)
        call.put_optional_octets(second, value)
    call.ok()


def _found(call: Call) -> list[tuple[bytes, bytes | None]]:
    store, keys = bucket(call), _batch(call)
    values = store.get_many(keys)
    checked_answer(call, *values)
    return [(key.encode(), value) for key, value in zip(keys, values, strict=True)]


def _set_many(call: Call) -> None:
    store = bucket(call)
    pairs = [n.pair(item) for item in n.items(call.place(1))]
    _check_batch(len(pairs))
    values: Mapping[str, bytes] = {
        _checked_key(n.text(key).decode()): checked_value(call, n.octets(value))
        for key, value in pairs
    }
    store.set_many(values)
    call.ok_nothing()


def _delete_many(call: Call) -> None:
    store = bucket(call)
    store.delete_many(_batch(call))
    call.ok_nothing()


def _batch(call: Call) -> list[str]:
    keys = call.texts(1)
    _check_batch(len(keys))
    return [_checked_key(key) for key in keys]


def _check_batch(count: int) -> None:
    if count > _MAX_BATCH:
        raise StoreError(f"a batch of {count} keys is too large; {_MAX_BATCH} are allowed")


def _results(parameters: str, answers: Mapping[str, Function]) -> Mapping[str, Function]:
    return {
        f"({parameters})->result<{answer},{ERROR}>": function
        for answer, function in answers.items()
    }


_PAIR = "tuple<string,list<u8>>"
STORE = Interface(
    functions={
        "open": _results("string", {"own": _open}),
        "[method]bucket.get": _results("borrow,string", {"option<list<u8>>": _get}),
        "[method]bucket.set": _results("borrow,string,list<u8>", {"_": _set}),
        "[method]bucket.delete": _results("borrow,string", {"_": _delete}),
        "[method]bucket.exists": _results("borrow,string", {"bool": _exists}),
        "[method]bucket.list-keys": {
            **_results(
                "borrow,option<string>",
                {"record{keys(list<string>),cursor(option<string>)}": _keys_by_text},
            ),
            **_results(
                "borrow,option<u64>",
                {"record{keys(list<string>),cursor(option<u64>)}": _keys_by_number},
            ),
        },
    },
    resources={"bucket": BUCKET},
)
BATCH = Interface(
    functions={
        "get-many": _results(
            "borrow,list<string>",
            {
                f"list<option<{_PAIR}>>": _get_many_options,
                "list<tuple<string,option<list<u8>>>>": _get_many_pairs,
            },
        ),
        "set-many": _results(f"borrow,list<{_PAIR}>", {"_": _set_many}),
        "delete-many": _results("borrow,list<string>", {"_": _delete_many}),
    },
    resources={},
)
