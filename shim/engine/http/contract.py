"""The types of wasi:http 0.2 as text, and whether a component declares the same.

Rules: our functions read arguments and write results without asking wasmtime for their types, so
what is not declared to the letter as here is refused by name before anything is linked. One table
serves all versions: from 0.2.0 to 0.2.12 no function that we have has changed its type.
Source: the repositories WebAssembly/wasi-http and WebAssembly/WASI, types.wit and handler.wit of
each tag.
"""

from collections.abc import Mapping
from typing import Any

import wasmtime
from wasmtime import component

from shim.engine.guest import GuestFailure
from shim.engine.interfaces.signatures import Signatures

TYPES = "wasi:http/types@0.2."
OUTGOING = "wasi:http/outgoing-handler@0.2."
STDOUT = "wasi:cli/stdout@0.2."
HANDLER = "wasi:http/incoming-handler@0.2."
HANDLE, GET_STDOUT = "handle", "get-stdout"
PACKAGE, _VERSION = "wasi:http/", "@0.2."
# of a type, in an error text
_MAX_TEXT = 400

# Those of wasi:http are ours, and the others wasmtime's.
_OURS = (
    "fields", "incoming-request", "outgoing-request", "request-options", "response-outparam",
    "incoming-response", "incoming-body", "future-trailers", "outgoing-response", "outgoing-body",
    "future-incoming-response",
)  # fmt: skip
KINDS = {name: number for number, name in enumerate(_OURS, start=1)}
_RESOURCES = {
    TYPES: _OURS,
    "wasi:io/error@0.2.": ("error",),
    "wasi:io/poll@0.2.": ("pollable",),
    "wasi:io/streams@0.2.": ("input-stream", "output-stream"),
}

_METHOD = "variant{get,head,post,put,delete,connect,options,trace,patch,other(string)}"
_SCHEME = "variant{HTTP,HTTPS,other(string)}"
_HEADER = "variant{invalid-syntax,forbidden,immutable}"
_SIZE = "record{field-name(option<string>),field-size(option<u32>)}"
_DNS = "record{rcode(option<string>),info-code(option<u16>)}"
_TLS = "record{alert-id(option<u8>),alert-message(option<string>)}"
_CODE = (
    f"variant{{DNS-timeout,DNS-error({_DNS}),destination-not-found,destination-unavailable,"
    "destination-IP-prohibited,destination-IP-unroutable,connection-refused,connection-terminated,"
    "connection-timeout,connection-read-timeout,connection-write-timeout,connection-limit-reached,"
    f"TLS-protocol-error,TLS-certificate-error,TLS-alert-received({_TLS}),HTTP-request-denied,"
    "HTTP-request-length-required,HTTP-request-body-size(option<u64>),HTTP-request-method-invalid,"
    "HTTP-request-URI-invalid,HTTP-request-URI-too-long,"
    "HTTP-request-header-section-size(option<u32>),"
    f"HTTP-request-header-size(option<{_SIZE}>),HTTP-request-trailer-section-size(option<u32>),"
    f"HTTP-request-trailer-size({_SIZE}),HTTP-response-incomplete,"
    "HTTP-response-header-section-size(option<u32>),"
    f"HTTP-response-header-size({_SIZE}),HTTP-response-body-size(option<u64>),"
    f"HTTP-response-trailer-section-size(option<u32>),HTTP-response-trailer-size({_SIZE}),"
    "HTTP-response-transfer-coding(option<string>),HTTP-response-content-coding(option<string>),"
    "HTTP-response-timeout,HTTP-upgrade-failed,HTTP-protocol-error,loop-detected,"
    "configuration-error,internal-error(option<string>)}"
)
_ENTRIES = "list<tuple<string,list<u8>>>"
_CHANGED = f"result<_,{_HEADER}>"
_DONE = "result<_,_>"

# By resource and function; the rest of a method's parameters, and its result.
_METHODS = {
    "fields": {
        "get": "(string)->list<list<u8>>",
        "has": "(string)->bool",
        "set": f"(string,list<list<u8>>)->{_CHANGED}",
        "delete": f"(string)->{_CHANGED}",
        "append": f"(string,list<u8>)->{_CHANGED}",
        "entries": f"()->{_ENTRIES}",
        "clone": "()->own<fields>",
    },
    "incoming-request": {
        "method": f"()->{_METHOD}",
        "path-with-query": "()->option<string>",
        "scheme": f"()->option<{_SCHEME}>",
        "authority": "()->option<string>",
        "headers": "()->own<fields>",
        "consume": "()->result<own<incoming-body>,_>",
    },
    "outgoing-request": {
        "body": "()->result<own<outgoing-body>,_>",
        "method": f"()->{_METHOD}",
        "set-method": f"({_METHOD})->{_DONE}",
        "path-with-query": "()->option<string>",
        "set-path-with-query": f"(option<string>)->{_DONE}",
        "scheme": f"()->option<{_SCHEME}>",
        "set-scheme": f"(option<{_SCHEME}>)->{_DONE}",
        "authority": "()->option<string>",
        "set-authority": f"(option<string>)->{_DONE}",
        "headers": "()->own<fields>",
    },
    "request-options": {
        "connect-timeout": "()->option<u64>",
        "set-connect-timeout": f"(option<u64>)->{_DONE}",
        "first-byte-timeout": "()->option<u64>",
        "set-first-byte-timeout": f"(option<u64>)->{_DONE}",
        "between-bytes-timeout": "()->option<u64>",
        "set-between-bytes-timeout": f"(option<u64>)->{_DONE}",
    },
    "incoming-response": {
        "status": "()->u16",
        "headers": "()->own<fields>",
        "consume": "()->result<own<incoming-body>,_>",
    },
    "incoming-body": {"stream": "()->result<own<input-stream>,_>"},
    "future-trailers": {
        "subscribe": "()->own<pollable>",
        "get": f"()->option<result<result<option<own<fields>>,{_CODE}>,_>>",
    },
    "outgoing-response": {
        "status-code": "()->u16",
        "set-status-code": f"(u16)->{_DONE}",
        "headers": "()->own<fields>",
        "body": "()->result<own<outgoing-body>,_>",
    },
    "outgoing-body": {"write": "()->result<own<output-stream>,_>"},
    "future-incoming-response": {
        "subscribe": "()->own<pollable>",
        "get": f"()->option<result<result<own<incoming-response>,{_CODE}>,_>>",
    },
}
_OTHER_FUNCTIONS = {
    "http-error-code": f"(borrow<error>)->option<{_CODE}>",
    "[constructor]fields": "()->own<fields>",
    "[static]fields.from-list": f"({_ENTRIES})->result<own<fields>,{_HEADER}>",
    "[constructor]outgoing-request": "(own<fields>)->own<outgoing-request>",
    "[constructor]request-options": "()->own<request-options>",
    "[static]response-outparam.set": (
        f"(own<response-outparam>,result<own<outgoing-response>,{_CODE}>)"
    ),
    "[static]incoming-body.finish": "(own<incoming-body>)->own<future-trailers>",
    "[constructor]outgoing-response": "(own<fields>)->own<outgoing-response>",
    "[static]outgoing-body.finish": f"(own<outgoing-body>,option<own<fields>>)->result<_,{_CODE}>",
}
_SENT = f"result<own<future-incoming-response>,{_CODE}>"
_READ = {*_RESOURCES, STDOUT}
_HANDLE_TYPE = "(own<incoming-request>,own<response-outparam>)"


def _method(kind: str, rest: str) -> str:
    separator = "" if rest.startswith("()") else ","
    return f"(borrow<{kind}>{separator}{rest[1:]}"


# By interface and name.
FUNCTIONS: dict[str, dict[str, str]] = {
    TYPES: _OTHER_FUNCTIONS
    | {
        f"[method]{kind}.{name}": _method(kind, rest)
        for kind, functions in _METHODS.items()
        for name, rest in functions.items()
    },
    OUTGOING: {HANDLE: f"(own<outgoing-request>,option<own<request-options>>)->{_SENT}"},
    STDOUT: {GET_STDOUT: "()->own<output-stream>"},
}


class Declared:
    """What a component declares of the interfaces that we serve it ourselves, and their types."""

    def __init__(self, imports: Mapping[str, Any], engine: wasmtime.Engine) -> None:
        self._engine = engine
        # members by interface, or None for what is no interface
        self._imports: dict[str, dict[str, Any] | None] = {}
        resources = []
        for name, item in imports.items():
            start = name[: name.find(_VERSION) + len(_VERSION)]
            if not name.startswith(PACKAGE) and start not in _READ:
                continue
            kind = item.ty
            if isinstance(kind, component.ComponentInstanceType):
                members = {name: what.ty for name, what in kind.exports(engine).items()}
                self._imports[name] = members
                owned = _RESOURCES.get(start, ())
                resources += [(name, members[name]) for name in owned if name in members]
            else:
                self._imports[name] = None
        self._resources = [
            (name, kind) for name, kind in resources if isinstance(kind, component.ResourceType)
        ]
        self._signatures = Signatures(self._resources)

    def unknown(self) -> list[str]:
        """What there is not in wasi:http, as far as we have it."""
        names = []
        known = [kind for _, kind in self._resources]
        for name, members in self._imports.items():
            if name.startswith(TYPES):
                for member, kind in (members or {}).items():
                    is_function = isinstance(kind, component.FuncType)
                    is_resource = isinstance(kind, component.ResourceType)
                    if (is_function and member not in FUNCTIONS[TYPES]) or (
                        is_resource and kind not in known
                    ):
                        names.append(f"{name} {member}")
            elif name.startswith(PACKAGE) and not name.startswith(OUTGOING):
                names.append(name)
        return names

    def check_imports(self) -> None:
        """Compare the functions.

        Raises:
            GuestFailure: one is declared in another type than we have.
        """
        for name, members in self._imports.items():
            known = next((FUNCTIONS[start] for start in FUNCTIONS if name.startswith(start)), None)
            if known is None:
                continue
            if members is None:
                raise GuestFailure(f"component imports {name}, but as no interface")
            for member, kind in members.items():
                if isinstance(kind, component.FuncType):
                    self._compare(f"imports {member} of {name}", kind, known.get(member))

    def check_handler(self, name: str, handler: Any) -> None:
        """Compare the `handle` of an incoming-handler that the component exports.

        Raises:
            GuestFailure: it is missing, or another than requests can be given to.
        """
        kind = handler.ty
        is_instance = isinstance(kind, component.ComponentInstanceType)
        members = kind.exports(self._engine) if is_instance else {}
        handle = members[HANDLE].ty if HANDLE in members else None
        if not isinstance(handle, component.FuncType):
            raise GuestFailure(f"component exports {name} without its function {HANDLE}")
        self._compare(f"exports {HANDLE} of {name}", handle, _HANDLE_TYPE)

    def _compare(self, what: str, function: component.FuncType, known: str | None) -> None:
        declared = self._signatures.of(function)
        if declared != known:
            ours = known or "no such function"
            raise GuestFailure(f"component {what} as {_cut(declared)}; Tandem has {_cut(ours)}")


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}..."
