"""One call of a host function: what it may reach, and how it writes its result.

Rules: results are written from the inside out, and whatever may fail is done before the first of
them: wasmtime would read a half written one. `shim.engine.http.native` knows the memory.
"""

import ctypes
import struct
from collections.abc import Callable, Mapping, Sequence
from ctypes import c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wasmtime import (
    _bindings,  # type: ignore[attr-defined,unused-ignore]
)

from shim.engine.http import native as n

if TYPE_CHECKING:
    from shim.engine.interfaces.provider import Provider

_S64, _RECORD = 7, 14
_library: Any = _bindings.dll  # type: ignore[attr-defined,unused-ignore]
# a field of a record is its name, then its value
_NAME_BYTES = 16
_FIELD_BYTES = _NAME_BYTES + n.VALUE_BYTES

_pack_s64 = struct.Struct("<B7xqQQ").pack
_pack = struct.Struct("<B7xQQQ").pack
_record_new = _library["wasmtime_component_valrecord_new_uninit"]
_record_new.restype, _record_new.argtypes = None, (c_void_p, c_size_t)


class Call:
    """The arguments are at `at`, the result is written to `out`."""

    __slots__ = ("at", "guest", "out", "provider", "scratch")

    def __init__(self, provider: "Provider", context: int, at: int, out: int) -> None:
        self.provider = provider
        self.scratch = n.Scratch()
        self.scratch.context = context
        # the number that the guest's store carries
        self.guest: int = n.context_data(context)
        self.at = at
        self.out = out

    def place(self, index: int) -> int:
        """The address of an argument."""
        return self.at + index * n.VALUE_BYTES

    def text(self, index: int) -> str:
        """An argument that is a string."""
        return n.text(self.place(index)).decode()

    def octets(self, index: int) -> bytes:
        """An argument that is a list<u8>."""
        return n.octets(self.place(index))

    def s64(self, index: int) -> int:
        """An argument that is a number of 64 bits with a sign."""
        return c_int64.from_address(self.place(index) + 8).value

    def texts(self, index: int) -> list[str]:
        """An argument that is a list<string>."""
        return [n.text(item).decode() for item in n.items(self.place(index))]

    def resource(self, index: int) -> int:
        """The number of a resource of ours, whose handle is given back."""
        return self.scratch.take(self.place(index))

    # Results: `ok` of the value that was put at `scratch.first`.

    def ok(self) -> None:
        """Answer what is at `first`."""
        self.scratch.put_result(self.out, self.scratch.first, ok=True)

    def ok_nothing(self) -> None:
        """Answer that it is done."""
        self.scratch.put_raw(self.out, n.OK)

    def ok_octets(self, data: bytes | None) -> None:
        """Answer an option<list<u8>>."""
        self.put_optional_octets(self.scratch.first, data)
        self.ok()

    def ok_s64(self, number: int) -> None:
        """Answer a number of 64 bits with a sign."""
        ctypes.memmove(self.scratch.first, _pack_s64(_S64, number, 0, 0), n.VALUE_BYTES)
        self.ok()

    def put_optional_octets(self, place: int, data: bytes | None) -> None:
        """Write an option<list<u8>>."""
        scratch = self.scratch
        if data is None:
            scratch.put_raw(place, n.NONE)
        else:
            scratch.put_octets(scratch.second, data)
            scratch.put_some(place, scratch.second)

    def put_texts(self, place: int, texts: Sequence[str]) -> None:
        """Write a list<string>."""
        encoded = [text.encode() for text in texts]
        for item, text in zip(self.scratch.put_list(place, len(encoded)), encoded, strict=True):
            self.scratch.put_text(item, text)

    def put_record(self, place: int, names: Sequence[bytes]) -> Sequence[int]:
        """Write a record; the addresses of its fields' values, to be written to."""
        vector = (c_size_t * 2)()
        _record_new(ctypes.addressof(vector), len(names))
        start = vector[1]
        name = (c_size_t * 2)()
        for index, text in enumerate(names):
            n.bytes_new(ctypes.addressof(name), len(text), text)
            ctypes.memmove(start + index * _FIELD_BYTES, name, _NAME_BYTES)
        ctypes.memmove(place, _pack(_RECORD, len(names), start, 0), n.VALUE_BYTES)
        return [start + index * _FIELD_BYTES + _NAME_BYTES for index in range(len(names))]

    def fail(self, case: bytes, text: str | None = None) -> None:
        """Answer an error: a case of the interface's variant."""
        data = None if text is None else text.encode(errors="replace")
        self.scratch.put_case(self.scratch.first, case, data)
        self.scratch.put_result(self.out, self.scratch.first, ok=False)


Function = Callable[[Call], None]


@dataclass(frozen=True, slots=True)
class Interface:
    """What one interface defines.

    `functions` holds, by name, what is done for each signature that a draft gives it; `resources`
    holds the host's numbers of its resource types.
    """

    functions: Mapping[str, Mapping[str, Function]]
    resources: Mapping[str, int]
