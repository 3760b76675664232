"""wasmtime's component values without wasmtime-py's conversions: addresses, and one copy each way.

Rules: this is the C API's memory layout (wasmtime/component/val.h of version 50) and nothing else;
a value is known by the address of its `wasmtime_component_val_t`. Measured: five to ten times
faster per call than the package's own callbacks, which convert every value by its type. Calls that
are short keep the interpreter lock; those that run guest code release it.
"""

import ctypes
import struct
from ctypes import c_bool, c_char_p, c_int64, c_size_t, c_uint8, c_uint32, c_void_p
from typing import Any

import wasmtime
from wasmtime import _bindings

VALUE_BYTES = 32
_U8, _STRING, _LIST, _TUPLE, _VARIANT, _OPTION, _RESULT, _RESOURCE = 2, 12, 13, 15, 16, 18, 19, 21
_BOOL, _U16, _U32, _U64, _RECORD = 0, 4, 6, 8, 14
# a record's member: its name, and its value
_MEMBER_BYTES = 16 + VALUE_BYTES

# the library that the package has loaded
_name: str = _bindings.dll._name  # type: ignore[attr-defined]  # noqa: SLF001
_holding = ctypes.PyDLL(_name)
_releasing = ctypes.CDLL(_name)


def _bind(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    # By index: an attribute would be shared with the package, which gives it types of its own.
    function = library[name]
    function.restype, function.argtypes = result, arguments
    return function


_P = c_void_p
any_to_host = _bind(_holding, "wasmtime_component_resource_any_to_host", _P, _P, _P, _P)
any_drop = _bind(_holding, "wasmtime_component_resource_any_drop", _P, _P, _P)
host_to_any = _bind(_holding, "wasmtime_component_resource_host_to_any", _P, _P, _P, _P)
host_new = _bind(_holding, "wasmtime_component_resource_host_new", _P, c_bool, c_uint32, c_uint32)
host_rep = _bind(_holding, "wasmtime_component_resource_host_rep", c_uint32, _P)
host_delete = _bind(_holding, "wasmtime_component_resource_host_delete", None, _P)
value_delete = _bind(_holding, "wasmtime_component_val_delete", None, _P)
value_new = _bind(_holding, "wasmtime_component_val_new", _P, _P)
list_new = _bind(_holding, "wasmtime_component_vallist_new_uninit", None, _P, c_size_t)
tuple_new = _bind(_holding, "wasmtime_component_valtuple_new_uninit", None, _P, c_size_t)
record_new = _bind(_holding, "wasmtime_component_valrecord_new_uninit", None, _P, c_size_t)
bytes_new = _bind(_holding, "wasm_byte_vec_new", None, _P, c_size_t, c_char_p)
bytes_delete = _bind(_holding, "wasm_byte_vec_delete", None, _P)
error_new = _bind(_holding, "wasmtime_error_new", _P, c_char_p)
error_message = _bind(_holding, "wasmtime_error_message", None, _P, _P)
error_delete = _bind(_holding, "wasmtime_error_delete", None, _P)
store_new = _bind(_holding, "wasmtime_store_new", _P, _P, _P, _P)
store_context = _bind(_holding, "wasmtime_store_context", _P, _P)
store_limiter = _bind(_holding, "wasmtime_store_limiter", None, _P, *[c_int64] * 5)
store_delete = _bind(_releasing, "wasmtime_store_delete", None, _P)
epoch_callback = _bind(_holding, "wasmtime_store_epoch_deadline_callback", None, _P, _P, _P, _P)
set_epoch_deadline = _bind(
    _holding, "wasmtime_context_set_epoch_deadline", None, _P, ctypes.c_uint64
)
set_fuel = _bind(_holding, "wasmtime_context_set_fuel", _P, _P, ctypes.c_uint64)
_get_fuel = _bind(_holding, "wasmtime_context_get_fuel", _P, _P, _P)
context_data = _bind(_holding, "wasmtime_context_get_data", c_size_t, _P)
set_wasi = _bind(_holding, "wasmtime_context_set_wasi", _P, _P, _P)
set_wasi_http = _bind(_holding, "wasmtime_context_set_wasi_http", None, _P)
wasi_new = _bind(_holding, "wasi_config_new", _P)
wasi_delete = _bind(_holding, "wasi_config_delete", None, _P)
wasi_argv = _bind(_holding, "wasi_config_set_argv", c_bool, _P, c_size_t, _P)
wasi_env = _bind(_holding, "wasi_config_set_env", c_bool, _P, c_size_t, _P, _P)
wasi_stdin_file = _bind(_holding, "wasi_config_set_stdin_file", c_bool, _P, c_char_p)
wasi_stdin_bytes = _bind(_holding, "wasi_config_set_stdin_bytes", None, _P, _P)
wasi_stdout_file = _bind(_holding, "wasi_config_set_stdout_file", c_bool, _P, c_char_p)
wasi_inherit_stderr = _bind(_holding, "wasi_config_inherit_stderr", None, _P)
wasi_preopen = _bind(_holding, "wasi_config_preopen_dir", c_bool, _P, c_char_p, c_char_p, c_bool)
instantiate = _bind(_releasing, "wasmtime_component_linker_instantiate", _P, _P, _P, _P, _P)
get_function = _bind(_holding, "wasmtime_component_instance_get_func", c_bool, _P, _P, _P, _P)
call = _bind(_releasing, "wasmtime_component_func_call", _P, _P, _P, _P, c_size_t, _P, c_size_t)
module_instantiate = _bind(_releasing, "wasmtime_linker_instantiate", _P, _P, _P, _P, _P, _P)
module_export = _bind(
    _holding, "wasmtime_instance_export_get", c_bool, _P, _P, c_char_p, c_size_t, _P
)
module_call = _bind(_releasing, "wasmtime_func_call", _P, _P, _P, _P, c_size_t, _P, c_size_t, _P)
error_exit_status = _bind(_holding, "wasmtime_error_exit_status", c_bool, _P, _P)
trap_message = _bind(_holding, "wasm_trap_message", None, _P, _P)
trap_delete = _bind(_holding, "wasm_trap_delete", None, _P)
add_function = _bind(
    _holding, "wasmtime_component_linker_instance_add_func", _P, _P, c_char_p, c_size_t, _P, _P, _P
)
add_resource = _bind(
    _holding,
    "wasmtime_component_linker_instance_add_resource",
    _P, _P, c_char_p, c_size_t, _P, _P, _P, _P,
)  # fmt: skip

# data, context, type, arguments, their number, results, their number
FUNCTION = ctypes.CFUNCTYPE(c_void_p, _P, _P, _P, _P, c_size_t, _P, c_size_t)
# data, context, representation
DESTRUCTOR = ctypes.CFUNCTYPE(c_void_p, _P, _P, c_uint32)
# context, data, ticks to go on for, kind of update
EPOCH = ctypes.CFUNCTYPE(c_void_p, _P, _P, _P, _P)

_pack = struct.Struct("<B7xQQQ").pack
_word = c_size_t.from_address
_text = ctypes.string_at
_move = ctypes.memmove
_NOTHING = bytes(VALUE_BYTES)
NONE = _pack(_OPTION, 0, 0, 0)
OK, FAILED = _pack(_RESULT, 1, 0, 0), _pack(_RESULT, 0, 0, 0)
TRUE, FALSE = _pack(_BOOL, 1, 0, 0), _pack(_BOOL, 0, 0, 0)


def address(value: Any) -> int:
    """The address of a wasmtime-py object's C object."""
    return ctypes.cast(value.ptr(), c_void_p).value or 0


def check(error: int | None) -> None:
    """Raise what a call of the C API returned.

    Raises:
        wasmtime.WasmtimeError: it returned an error.
    """
    if error:
        raise wasmtime.WasmtimeError(take_error(error))


def fuel_of(context: int) -> int:
    """What is left of the fuel that a store was given."""
    left = ctypes.c_uint64()
    check(_get_fuel(context, ctypes.addressof(left)))
    return left.value


def take_error(error: int) -> str:
    """The text of an error, which is freed."""
    vector = (c_size_t * 2)()
    error_message(error, vector)
    text = _text(vector[1], vector[0]).decode(errors="replace")
    bytes_delete(vector)
    error_delete(error)
    return text


def take_exit_status(error: int) -> int | None:
    """The status with which the guest ended by itself; the error is freed, unless it is another."""
    status = ctypes.c_int()
    if not error_exit_status(error, ctypes.addressof(status)):
        return None
    error_delete(error)
    return status.value


def take_trap(trap: int) -> str:
    """The text of a trap, which is freed."""
    vector = (c_size_t * 2)()
    trap_message(trap, vector)
    # with the end of a C string
    text = _text(vector[1], vector[0]).rstrip(b"\0").decode(errors="replace")
    bytes_delete(vector)
    trap_delete(trap)
    return text


def is_ok(at: int) -> bool:
    """Whether a result is ok."""
    return bool(_word(at + 8).value & 0xFF)


def is_some(at: int) -> bool:
    """Whether an option holds something."""
    return _word(at + 8).value != 0


def payload(at: int) -> int:
    """The address of what a result holds."""
    return _word(at + 16).value


def some(at: int) -> int:
    """The address of what an option holds."""
    return _word(at + 8).value


def payload_resource(at: int) -> int:
    """The resource that a value is."""
    return _word(at + 8).value


def u16(at: int) -> int:
    """A number of 16 bits."""
    return _word(at + 8).value & 0xFFFF


def u32(at: int) -> int:
    """A number of 32 bits."""
    return _word(at + 8).value & 0xFFFFFFFF


def forget_resource(at: int) -> None:
    """Let a value hold a flag instead of its resource, which somebody else has then."""
    _move(at, FALSE, VALUE_BYTES)


def u64(at: int) -> int:
    """A number of 64 bits."""
    return _word(at + 8).value


def text(at: int) -> bytes:
    """A string, in UTF-8."""
    return _text(_word(at + 16).value, _word(at + 8).value)


def case(at: int) -> tuple[bytes, int]:
    """A variant's case, and the address of what it holds or 0."""
    return text(at), _word(at + 24).value


def octets(at: int) -> bytes:
    """A list<u8>."""
    count = _word(at + 8).value
    # one copy with a stride: each element is a whole value
    return _text(_word(at + 16).value, count * VALUE_BYTES)[8::VALUE_BYTES] if count else b""


def items(at: int) -> range:
    """The addresses of a list's elements."""
    start = _word(at + 16).value
    return range(start, start + _word(at + 8).value * VALUE_BYTES, VALUE_BYTES)


def pair(at: int) -> tuple[int, int]:
    """The addresses of a pair's members."""
    start = _word(at + 16).value
    return start, start + VALUE_BYTES


class Scratch:
    """Reads and writes values that need the store, or room: one per request, for one thread."""

    __slots__ = (
        "_box", "_box_at", "_out", "_out_at", "_spare", "_vector", "_vector_at", "context",
        "first", "second",
    )  # fmt: skip

    def __init__(self) -> None:
        self.context = 0
        self._box = (c_uint8 * VALUE_BYTES)()
        self._box_at = ctypes.addressof(self._box)
        self._vector = (c_size_t * 2)()
        self._vector_at = ctypes.addressof(self._vector)
        self._spare = (c_uint8 * (2 * VALUE_BYTES))()
        # room for values on their way into others
        self.first = ctypes.addressof(self._spare)
        self.second = self.first + VALUE_BYTES
        self._out = c_void_p()
        self._out_at = ctypes.addressof(self._out)

    def take(self, at: int) -> int:
        """The representation of a resource of ours; consumes the handle, owned or borrowed."""
        check(any_to_host(self.context, _word(at + 8).value, self._out_at))
        host = self._out.value
        representation: int = host_rep(host)
        host_delete(host)
        return representation

    def put(self, at: int, representation: int, kind: int) -> None:
        """An owned resource of ours."""
        host = host_new(True, representation, kind)  # noqa: FBT003 (the C API's)
        check(host_to_any(self.context, host, self._out_at))
        host_delete(host)
        _move(at, _pack(_RESOURCE, self._out.value or 0, 0, 0), VALUE_BYTES)

    def put_ok(self, at: int, representation: int, kind: int) -> None:
        """A result that holds an owned resource of ours."""
        self.put(self._box_at, representation, kind)
        _move(at, _pack(_RESULT, 1, value_new(self._box_at), 0), VALUE_BYTES)

    def put_native_ok(self, at: int, resource: int) -> None:
        """A result that holds a resource of wasmtime's, which is given away."""
        _move(self._box_at, _pack(_RESOURCE, resource, 0, 0), VALUE_BYTES)
        _move(at, _pack(_RESULT, 1, value_new(self._box_at), 0), VALUE_BYTES)

    def put_native(self, at: int, resource: int) -> None:
        """A resource of wasmtime's, which is given away."""
        _move(at, _pack(_RESOURCE, resource, 0, 0), VALUE_BYTES)

    def put_u16(self, at: int, number: int) -> None:
        """A number of 16 bits."""
        _move(at, _pack(_U16, number, 0, 0), VALUE_BYTES)

    def put_u32(self, at: int, number: int) -> None:
        """A number of 32 bits."""
        _move(at, _pack(_U32, number, 0, 0), VALUE_BYTES)

    def put_u64(self, at: int, number: int) -> None:
        """A number of 64 bits."""
        _move(at, _pack(_U64, number, 0, 0), VALUE_BYTES)

    def put_text(self, at: int, data: bytes) -> None:
        """A string."""
        bytes_new(self._vector_at, len(data), data)
        _move(at, _pack(_STRING, self._vector[0], self._vector[1], 0), VALUE_BYTES)

    def put_case(self, at: int, name: bytes, data: bytes | None = None) -> None:
        """A variant's case, with a string where `data` is given."""
        if data is not None:
            self.put_text(self._box_at, data)
        self.put_case_of(at, name, 0 if data is None else self._box_at)

    def put_case_of(self, at: int, name: bytes, value: int) -> None:
        """A variant's case that holds the value at `value`, which is moved, or nothing if 0."""
        held = value_new(value) if value else 0
        bytes_new(self._vector_at, len(name), name)
        _move(at, _pack(_VARIANT, self._vector[0], self._vector[1], held), VALUE_BYTES)

    def drop(self, at: int) -> None:
        """Let go of a borrowed resource of wasmtime's."""
        check(any_drop(self.context, _word(at + 8).value))

    def put_octets(self, at: int, data: bytes) -> None:
        """A list<u8>."""
        count = len(data)
        list_new(self._vector_at, count)
        if count:
            values = bytearray(count * VALUE_BYTES)
            values[0::VALUE_BYTES] = bytes((_U8,)) * count
            values[8::VALUE_BYTES] = data
            _move(self._vector[1], bytes(values), len(values))
        _move(at, _pack(_LIST, count, self._vector[1], 0), VALUE_BYTES)

    def put_list(self, at: int, count: int) -> range:
        """A list; its elements' addresses, to be written to before anything else happens."""
        list_new(self._vector_at, count)
        start = self._vector[1]
        _move(at, _pack(_LIST, count, start, 0), VALUE_BYTES)
        return range(start, start + count * VALUE_BYTES, VALUE_BYTES)

    def put_pair(self, at: int) -> tuple[int, int]:
        """A pair; its members' addresses, to be written to before anything else happens."""
        tuple_new(self._vector_at, 2)
        start = self._vector[1]
        _move(at, _pack(_TUPLE, 2, start, 0), VALUE_BYTES)
        return start, start + VALUE_BYTES

    def put_options(self, at: int, names: tuple[bytes, ...]) -> None:
        """A record of options that hold nothing."""
        record_new(self._vector_at, len(names))
        start = self._vector[1]
        for place, name in enumerate(names):
            member = start + place * _MEMBER_BYTES
            bytes_new(member, len(name), name)
            _move(member + 16, NONE, VALUE_BYTES)
        _move(at, _pack(_RECORD, len(names), start, 0), VALUE_BYTES)

    def put_some(self, at: int, value: int) -> None:
        """An option that holds the value at `value`, which is moved."""
        _move(at, _pack(_OPTION, value_new(value), 0, 0), VALUE_BYTES)

    def put_result(self, at: int, value: int, *, ok: bool) -> None:
        """A result that holds the value at `value`, which is moved."""
        _move(at, _pack(_RESULT, int(ok), value_new(value), 0), VALUE_BYTES)

    def put_some_text(self, at: int, data: bytes) -> None:
        """An option that holds a string."""
        self.put_text(self._box_at, data)
        _move(at, _pack(_OPTION, value_new(self._box_at), 0, 0), VALUE_BYTES)

    def put_error(self, at: int, name: bytes) -> None:
        """A result that failed with a variant's case that holds nothing."""
        self.put_case(self.first, name)
        self.put_result(at, self.first, ok=False)

    def put_raw(self, at: int, value: bytes) -> None:
        """One of the constants of this module."""
        _move(at, value, VALUE_BYTES)

    def clear(self, at: int) -> None:
        """Make room for a result: wasmtime frees what it finds there."""
        _move(at, _NOTHING, VALUE_BYTES)
