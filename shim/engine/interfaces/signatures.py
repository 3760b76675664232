"""The types of functions as text, to compare what a component declares with what we do.

Rules: wasmtime hands a host function its arguments as the component declares them, not as the host
means them, and a number that is read as a string is an address of the guest's choice. So nothing is
linked whose text is not the expected one to the letter. It also tells apart the drafts that share a
name. Resources are `own` and `borrow`; which one it is, is told where their names are given, else
wasmtime checks it, or the host does when it looks the number up.
"""

from collections.abc import Callable, Sequence
from typing import Any

from wasmtime import (
    _bindings,  # type: ignore[attr-defined,unused-ignore]
    component,
)

Resources = Sequence[tuple[str, component.ResourceType]]
_Describe = Callable[[Any], str]


class Signatures:
    """Describes the types of one component's functions, with the names of its resources."""

    def __init__(self, resources: Resources | None = None) -> None:
        """
        Args:
            resources: by their names, which makes `own<fields>` of `own`; one that is not among
                them is `own<?>`.
        """
        self._resources = resources
        # Variants are long, and the same ones come again and again.
        self._variants: list[tuple[component.VariantType, str]] = []

    def of(self, function: component.FuncType) -> str:
        """`(string,list<u8>)->result<_,own>`, for example; names of parameters are left out."""
        # Functions that may wait for others get their arguments in another way.
        word = "async " if _bindings.wasmtime_component_func_type_async(function.ptr()) else ""
        parameters = ",".join(self._describe(kind) for _, kind in function.params)
        result = function.result
        tail = "" if result is None else f"->{self._describe(result)}"
        return f"{word}({parameters}){tail}"

    def _describe(self, kind: Any) -> str:
        word = _HANDLES.get(type(kind))
        if word is not None:
            known = self._resources
            return word if known is None else f"{word}<{_name_of(kind.ty, known)}>"
        if isinstance(kind, component.VariantType):
            for other, text in self._variants:
                if other == kind:
                    return text
            self._variants.append((kind, _named("variant", kind.cases, self._describe)))
            return self._variants[-1][1]
        composed = _COMPOSED.get(type(kind))
        return type(kind).__name__.lower() if composed is None else composed(kind, self._describe)


def signature(function: component.FuncType) -> str:
    """A type whose resources need no names."""
    return Signatures().of(function)


def _name_of(kind: component.ResourceType, resources: Resources) -> str:
    return next((name for name, known in resources if known == kind), "?")


def _result(kind: component.ResultType, describe: _Describe) -> str:
    return f"result<{_optional(kind.ok, describe)},{_optional(kind.err, describe)}>"


def _optional(kind: Any, describe: _Describe) -> str:
    return "_" if kind is None else describe(kind)


def _named(word: str, members: Sequence[tuple[str, Any]], describe: _Describe) -> str:
    texts = (name if kind is None else f"{name}({describe(kind)})" for name, kind in members)
    return f"{word}{{{','.join(texts)}}}"


_HANDLES: dict[type, str] = {component.OwnType: "own", component.BorrowType: "borrow"}
_COMPOSED: dict[type, Callable[[Any, _Describe], str]] = {
    component.ListType: lambda kind, describe: f"list<{describe(kind.element)}>",
    component.OptionType: lambda kind, describe: f"option<{describe(kind.payload)}>",
    component.TupleType: lambda kind, describe: f"tuple<{','.join(map(describe, kind.elements))}>",
    component.ResultType: _result,
    component.RecordType: lambda kind, describe: _named("record", kind.fields, describe),
}
