"""wasi:keyvalue/atomics: increments, and compare-and-swap, where a value is what is compared.

Rules: counters have 64 bits with a sign in every store, also for the draft whose deltas have none.
"""

from dataclasses import dataclass

from shim.engine.http import native as n
from shim.engine.interfaces.calls import Call, Interface
from shim.engine.interfaces.keyvalue import ERROR, bucket, checked_answer, checked_value, key_of
from shim.stores.ports import AccessDenied, Backend, NoSuchStore, StoreError

CAS = 102
_MAX_S64 = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Cas:
    """A value that was read, to be exchanged if it is still there."""

    store: Backend
    key: str
    seen: bytes | None


def _increment_signed(call: Call) -> None:
    store = bucket(call)
    call.ok_s64(store.increment(key_of(call), call.s64(2)))


def _increment_unsigned(call: Call) -> None:
    store, key, delta = bucket(call), key_of(call), n.u64(call.place(2))
    if delta > _MAX_S64:
        raise StoreError(f"the delta {delta} does not fit into 63 bits")
    total = store.increment(key, delta)
    if total < 0:
        raise StoreError(f"the value of key {key[:80]!r} is negative: {total}")
    call.scratch.put_u64(call.scratch.first, total)
    call.ok()


def _new(call: Call) -> None:
    store, key = bucket(call), key_of(call)
    number = call.provider.add(call.guest, _read(call, store, key))
    call.scratch.put_ok(call.out, number, CAS)


def _current(call: Call) -> None:
    call.ok_octets(call.provider.find(call.guest, call.resource(0)).seen)


def _swap(call: Call) -> None:
    cas = call.provider.take(call.guest, call.resource(0))
    scratch = call.scratch
    try:
        value = checked_value(call, call.octets(1))
        done = cas.store.swap(cas.key, cas.seen, value)
        number = None if done else _renewed(call, cas)
    except StoreError as error:
        _put_error(call, error)
        scratch.put_case_of(scratch.second, b"store-error", scratch.first)
    else:
        if number is None:
            call.ok_nothing()
            return
        scratch.put(scratch.first, number, CAS)
        scratch.put_case_of(scratch.second, b"cas-failed", scratch.first)
    scratch.put_result(call.out, scratch.second, ok=False)


def _renewed(call: Call, cas: Cas) -> int:
    return call.provider.add(call.guest, _read(call, cas.store, cas.key))


def _read(call: Call, store: Backend, key: str) -> Cas:
    value = store.get(key)
    checked_answer(call, value)
    return Cas(store, key, value)


def _put_error(call: Call, error: StoreError) -> None:
    match error:
        case NoSuchStore():
            call.scratch.put_case(call.scratch.first, b"no-such-store")
        case AccessDenied():
            call.scratch.put_case(call.scratch.first, b"access-denied")
        case _:
            text = str(error).encode(errors="replace")
            call.scratch.put_case(call.scratch.first, b"other", text)


ATOMICS = Interface(
    functions={
        "increment": {
            f"(borrow,string,s64)->result<s64,{ERROR}>": _increment_signed,
            f"(borrow,string,u64)->result<u64,{ERROR}>": _increment_unsigned,
        },
        "[static]cas.new": {f"(borrow,string)->result<own,{ERROR}>": _new},
        "[method]cas.current": {f"(borrow)->result<option<list<u8>>,{ERROR}>": _current},
        "swap": {
            f"(own,list<u8>)->result<_,variant{{store-error({ERROR}),cas-failed(own)}}>": _swap
        },
    },
    resources={"cas": CAS},
)
