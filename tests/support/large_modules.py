"""Modules and components that are large, or slow to compile, made by a few lines of arithmetic.

Each has `_start`, or `wasi:cli/run`, and does nothing. `seed` makes them differ: no cache knows one
that no test has made before.
"""

import wasmtime

_HEADER = b"\0asm\1\0\0\0"
_COMMAND = """(component
  (core module $m (func (export "_start") (result i32) i32.const 0))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "_start")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $command)))"""
_FUNCTION_BYTES = 1000
_VARIABLES = 5000
# two, loaded from memory: what is computed from them is not known to the compiler
_LOCALS = b"\1\2\x7f\x41\0\x28\2\0\x21\0\x41\4\x28\2\0\x21\1"


def large_module(code_bytes: int, data_bytes: int = 0, seed: int = 0) -> bytes:
    """A module with about as many bytes of code, and of data that costs no time."""
    return _module(_bodies(code_bytes, seed), data_bytes, results=b"\0", body=b"\0\x0b")


def large_component(code_bytes: int, data_bytes: int = 0, seed: int = 0) -> bytes:
    """A component around such a module."""
    small = bytes(wasmtime.wat2wasm(_COMMAND))
    core = _module(_bodies(code_bytes, seed), data_bytes, results=b"\1\x7f", body=b"\0\x41\0\x0b")
    # Its first section is the module (Binary.md of the component model, "core:module").
    assert small[8] == 1
    length, start = _read_leb(small, 9)
    return small[:8] + _section(1, core) + small[start + length :]


def slow_module() -> bytes:
    """A module of less than 1 MB whose compilation takes minutes: thousands of variables, all of
    them alive in each of the loops of one function."""
    names = [_leb(number) for number in range(_VARIABLES)]
    code = b"\1" + names[-1] + b"\x7f"
    for number, name in enumerate(names[:-1]):
        code += b"\x41\0\x28\2" + _leb(4 * number) + b"\x21" + name
    for loop in range(20):
        code += b"\3\x40"
        for number, name in enumerate(names[:-1]):
            other = names[(7 * number + loop) % (len(names) - 1)]
            code += b"\x20" + name + b"\x20" + other + b"\x6a\x21" + name
        code += b"\x20" + names[loop] + b"\x0d\0\x0b"
    for number, name in enumerate(names[:-1]):
        code += b"\x41\0\x20" + name + b"\x36\2" + _leb(4 * number)
    return _module([code + b"\x0b"], 0, results=b"\0", body=b"\0\x0b")


def _bodies(code_bytes: int, seed: int) -> list[bytes]:
    made = []
    for number in range(max(code_bytes // _FUNCTION_BYTES, 1)):
        code = b""
        # memory[local 0] = local 0 = (local 0 + constant) * local 1, and the other way round: what
        # is stored is not optimised away
        for turn in (0, 1):
            code += b"\x20" + bytes([turn, 0x20, turn]) + b"\x41" + _sleb(seed * 9973 + number)
            code += b"\x6a\x20" + bytes([1 - turn, 0x6C, 0x22, turn]) + b"\x36\2\0"
        code *= _FUNCTION_BYTES // len(code)
        made.append(_LOCALS + code + b"\x0b")
    return made


def _module(bodies: list[bytes], data_bytes: int, *, results: bytes, body: bytes) -> bytes:
    """Function 0 is the exported one, with `results` and `body`; the others have neither."""
    types = b"\2\x60\0" + results + b"\x60\0\0"
    functions = _leb(len(bodies) + 1) + b"\0" + b"\1" * len(bodies)
    exports = b"\2\6_start\0\0\6memory\2\0"
    code = _leb(len(bodies) + 1) + b"".join(_sized(each) for each in (body, *bodies))
    sections = [(1, types), (3, functions), (5, b"\1\0" + _leb((data_bytes >> 16) + 1))]
    sections += [(7, exports), (10, code)]
    if data_bytes:
        sections.append((11, b"\1\0\x41\0\x0b" + _sized(bytes(range(256)) * (data_bytes // 256))))
    return _HEADER + b"".join(_section(number, content) for number, content in sections)


def _section(number: int, content: bytes) -> bytes:
    return bytes([number]) + _sized(content)


def _sized(content: bytes) -> bytes:
    return _leb(len(content)) + content


def _leb(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _sleb(value: int) -> bytes:
    """Always five bytes, so that every function is as long as the next."""
    return bytes([value >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)]) + bytes(
        [value >> 28 & 0x07]
    )


def _read_leb(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
