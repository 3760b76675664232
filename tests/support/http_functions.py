"""The functions of wasi:http and wasi:io for http_misuse.py: types, text, flat arguments.

Those of wasi:http are read from the contract that servers hold components to.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from shim.engine.http import contract

_IO = {
    "streams": {
        "[method]input-stream.read": "(borrow<input-stream>,u64)->result<list<u8>,{e}>",
        "[method]input-stream.blocking-read": "(borrow<input-stream>,u64)->result<list<u8>,{e}>",
        "[method]input-stream.skip": "(borrow<input-stream>,u64)->result<u64,{e}>",
        "[method]input-stream.subscribe": "(borrow<input-stream>)->own<pollable>",
        "[method]output-stream.check-write": "(borrow<output-stream>)->result<u64,{e}>",
        "[method]output-stream.write": "(borrow<output-stream>,list<u8>)->result<_,{e}>",
        "[method]output-stream.blocking-write-and-flush": (
            "(borrow<output-stream>,list<u8>)->result<_,{e}>"
        ),
        "[method]output-stream.flush": "(borrow<output-stream>)->result<_,{e}>",
        "[method]output-stream.blocking-flush": "(borrow<output-stream>)->result<_,{e}>",
        "[method]output-stream.subscribe": "(borrow<output-stream>)->own<pollable>",
        "[method]output-stream.splice": (
            "(borrow<output-stream>,borrow<input-stream>,u64)->result<u64,{e}>"
        ),
    },
    "poll": {
        "[method]pollable.ready": "(borrow<pollable>)->bool",
        "[method]pollable.block": "(borrow<pollable>)",
        "poll": "(list<borrow<pollable>>)->list<u32>",
    },
    "error": {"[method]error.to-debug-string": "(borrow<error>)->string"},
}
_STREAM_ERROR = "variant{last-operation-failed(own<error>),closed}"
_NAMES = {
    "get": "method", "HTTP": "scheme", "invalid-syntax": "header-error",
    "DNS-timeout": "error-code", "last-operation-failed": "stream-error", "rcode": "dns",
    "alert-id": "tls", "field-name": "size",
}  # fmt: skip
_FLAT = {"u64": "i64"}
RESOURCES = (*contract.KINDS, "input-stream", "output-stream", "pollable", "error")


@dataclass(frozen=True)
class Kind:
    """A type: its word, and what it is made of (cases of a variant by name)."""

    word: str
    parts: tuple[Any, ...] = ()
    names: tuple[str, ...] = ()

    def wat(self) -> str:
        if self.names:
            return f"${_NAMES[self.names[0]]}"
        if self.word in {"own", "borrow"}:
            return f"({self.word} ${self.parts[0]})"
        if self.word == "result":
            ok, error = self.parts
            error_text = f" (error {error.wat()})" if error else ""
            return f"(result {ok.wat() if ok else ''}{error_text})"
        if self.parts:
            return f"({self.word} {' '.join(part.wat() for part in self.parts)})"
        return self.word

    def cases(self) -> tuple[Any, ...]:
        return (None, *self.parts) if self.word == "option" else self.parts

    def flat(self) -> list[str]:
        if self.word in {"variant", "option", "result"}:
            joined: list[str] = []
            for case in self.cases():
                for index, word in enumerate(case.flat() if case else ()):
                    if index == len(joined):
                        joined.append(word)
                    elif joined[index] != word:
                        joined[index] = "i64"
            return ["i32", *joined]
        if self.word in {"record", "tuple"}:
            return [word for part in self.parts for word in part.flat()]
        if self.word in {"string", "list"}:
            return ["i32", "i32"]
        return [_FLAT.get(self.word, "i32")]


class _Reader:
    """Reads the contract's texts."""

    def __init__(self, text: str) -> None:
        self._words = re.findall(r"[A-Za-z0-9_-]+(?<!-)|->|[(){}<>,]", text)

    def take(self, word: str) -> bool:
        if self._words and self._words[0] == word:
            del self._words[0]
            return True
        return False

    def kind(self) -> Kind | None:
        word = self._words.pop(0)
        if word == "_":
            return None
        if word in {"variant", "record"}:
            return self._named(word)
        if not self.take("<"):
            return Kind(word)
        if word in {"own", "borrow"}:
            parts: list[Any] = [self._words.pop(0)]
        else:
            parts = [self.kind()]
            while self.take(","):
                parts.append(self.kind())
        assert self.take(">")
        return Kind(word, tuple(parts))

    def _named(self, word: str) -> Kind:
        names, parts = [], []
        assert self.take("{")
        while not self.take("}"):
            names.append(self._words.pop(0))
            parts.append(self.kind() if self.take("(") else None)
            self.take(")")
            self.take(",")
        return Kind(word, tuple(parts), tuple(names))


@dataclass
class Function:
    """A function: its interface, types, and flat arguments."""

    interface: str
    name: str
    parameters: list[Kind] = field(default_factory=list)
    result: Kind | None = None

    @property
    def flat(self) -> list[str]:
        return [word for kind in self.parameters for word in kind.flat()]

    @property
    def through_memory(self) -> bool:
        return self.result is not None and len(self.result.flat()) > 1

    def wat(self) -> str:
        names = ["self" if self.name.startswith("[method]") else "first", "second", "third"]
        given = zip(names, self.parameters, strict=False)
        parameters = " ".join(f'(param "{name}" {kind.wat()})' for name, kind in given)
        result = f" (result {self.result.wat()})" if self.result else ""
        return f'(export "{self.name}" (func {parameters}{result}))'


def _function(interface: str, name: str, text: str) -> Function:
    reader = _Reader(text)
    function = Function(interface, name)
    assert reader.take("(")
    while not reader.take(")"):
        kind = reader.kind()
        assert kind
        function.parameters.append(kind)
        reader.take(",")
    function.result = reader.kind() if reader.take("->") else None
    return function


FUNCTIONS: dict[str, Function] = {}
for _interface, _texts in (
    ("types", contract.FUNCTIONS[contract.TYPES]),
    ("outgoing", contract.FUNCTIONS[contract.OUTGOING]),
    *_IO.items(),
):
    for _name, _text in _texts.items():
        _text = _text.replace("{e}", _STREAM_ERROR)
        FUNCTIONS[_name] = _function(_interface, _name, _text)
for _resource in RESOURCES:
    FUNCTIONS[f"drop {_resource}"] = Function("", "", [Kind("own", (_resource,))])
# fills memory: address, byte, size
FUNCTIONS["fill"] = Function("", "", [Kind("u32")] * 3)
