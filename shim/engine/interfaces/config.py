"""wasi:config: `get` and `get-all`, the same in every draft."""

from shim.engine.http import native as n
from shim.engine.interfaces.calls import Call, Interface

_ERROR = "variant{upstream(string),io(string)}"


def _get(call: Call) -> None:
    value = call.provider.configuration.get(call.text(0))
    scratch = call.scratch
    if value is None:
        scratch.put_raw(scratch.first, n.NONE)
    else:
        scratch.put_some_text(scratch.first, value.encode())
    call.ok()


def _get_all(call: Call) -> None:
    values = [
        (key.encode(), value.encode())
        for key, value in call.provider.configuration.get_all().items()
    ]
    scratch = call.scratch
    places = scratch.put_list(scratch.first, len(values))
    for place, (key, value) in zip(places, values, strict=True):
        first, second = scratch.put_pair(place)
        scratch.put_text(first, key)
        scratch.put_text(second, value)
    call.ok()


CONFIG = Interface(
    functions={
        "get": {f"(string)->result<option<string>,{_ERROR}>": _get},
        "get-all": {f"()->result<list<tuple<string,string>>,{_ERROR}>": _get_all},
    },
    resources={},
)
INTERFACES = dict.fromkeys(
    (
        "wasi:config/store@0.2.0-draft",
        "wasi:config/store@0.2.0-draft-2024-09-27",
        "wasi:config/store@0.2.0-rc.1",
        "wasi:config/runtime@0.2.0-draft",
    ),
    CONFIG,
)
