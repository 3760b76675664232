"""The types of functions as text, to compare what a component declares with what we do.

Rules: wasmtime hands a host function its arguments as the component declares them, not as the host
means them, and a number that is read as a string is an address of the guest's choice. So nothing is
linked whose text is not the expected one to the letter. It also tells apart the drafts that share a
name. Resources are `own` and `borrow`: which one it is, wasmtime checks, or the host does when it
looks the number up.
"""

from collections.abc import Callable, Sequence
from typing import Any

from wasmtime import component


def signature(function: component.FuncType) -> str:
    """`(string,list<u8>)->result<_,own>`, for example; the names of parameters are left out."""
    parameters = ",".join(_described(kind) for _, kind in function.params)
    result = function.result
    return f"({parameters})" if result is None else f"({parameters})->{_described(result)}"


def _described(kind: Any) -> str:
    describe = _DESCRIBED.get(type(kind))
    return type(kind).__name__.lower() if describe is None else describe(kind)


def _result(kind: component.ResultType) -> str:
    return f"result<{_optional(kind.ok)},{_optional(kind.err)}>"


def _optional(kind: Any) -> str:
    return "_" if kind is None else _described(kind)


def _named(word: str, members: Sequence[tuple[str, Any]]) -> str:
    texts = (name if kind is None else f"{name}({_described(kind)})" for name, kind in members)
    return f"{word}{{{','.join(texts)}}}"


_DESCRIBED: dict[type, Callable[[Any], str]] = {
    component.ListType: lambda kind: f"list<{_described(kind.element)}>",
    component.OptionType: lambda kind: f"option<{_described(kind.payload)}>",
    component.TupleType: lambda kind: f"tuple<{','.join(map(_described, kind.elements))}>",
    component.ResultType: _result,
    component.RecordType: lambda kind: _named("record", kind.fields),
    component.VariantType: lambda kind: _named("variant", kind.cases),
    component.OwnType: lambda _: "own",
    component.BorrowType: lambda _: "borrow",
}
