"""A component that serves HTTP, by hand in the text format; the path's first letter says how:

/a  answers "ok" and reads nothing      /l  runs for ever
/b  writes without end                  /m  takes all the memory that it gets, and traps
/c  answers how often it has run        /n  ends without an answer
/d  drops the body that it has begun    /p  prints to its standard output, then as /a
/e  answers with the request's body     /r  as /e, and with its trailers for trailers
/f  answers an error-code               /s  waits for ever in the host
/h  answers the request's header        /t  traps
/w  answers "first", waits, "last"      /2  answers twice
/3  answers 201 with the header `x-guest: yes` and no body
"""

from pathlib import Path

from tests.support.http_types import VARIANTS

_RESOURCES = (
    "fields", "incoming-request", "response-outparam", "incoming-body", "future-trailers",
    "outgoing-response", "outgoing-body", "outgoing-request", "request-options",
    "future-incoming-response",
)  # fmt: skip

# name in the core module: interface, name, parameters, result
_IMPORTS = {
    "path": (
        "types", "[method]incoming-request.path-with-query",
        '(param "self" (borrow $incoming-request)) (result (option string))',
    ),
    "headers": (
        "types", "[method]incoming-request.headers",
        '(param "self" (borrow $incoming-request)) (result (own $fields))',
    ),
    "consume": (
        "types", "[method]incoming-request.consume",
        '(param "self" (borrow $incoming-request)) (result (result (own $incoming-body)))',
    ),
    "stream": (
        "types", "[method]incoming-body.stream",
        '(param "self" (borrow $incoming-body)) (result (result (own $input-stream)))',
    ),
    "finish-in": (
        "types", "[static]incoming-body.finish",
        '(param "this" (own $incoming-body)) (result (own $future-trailers))',
    ),
    "trailers": (
        "types", "[method]future-trailers.get",
        '(param "self" (borrow $future-trailers)) (result (option (result (result'
        " (option (own $fields)) (error $error-code)))))",
    ),
    "fields": ("types", "[constructor]fields", "(result (own $fields))"),
    "append": (
        "types", "[method]fields.append",
        '(param "self" (borrow $fields)) (param "name" string) (param "value" (list u8))'
        " (result (result (error $header-error)))",
    ),
    "entries": (
        "types", "[method]fields.entries",
        '(param "self" (borrow $fields)) (result (list (tuple string (list u8))))',
    ),
    "response": (
        "types", "[constructor]outgoing-response",
        '(param "headers" (own $fields)) (result (own $outgoing-response))',
    ),
    "status": (
        "types", "[method]outgoing-response.set-status-code",
        '(param "self" (borrow $outgoing-response)) (param "status-code" u16) (result (result))',
    ),
    "body": (
        "types", "[method]outgoing-response.body",
        '(param "self" (borrow $outgoing-response)) (result (result (own $outgoing-body)))',
    ),
    "write-body": (
        "types", "[method]outgoing-body.write",
        '(param "self" (borrow $outgoing-body)) (result (result (own $output-stream)))',
    ),
    "finish-out": (
        "types", "[static]outgoing-body.finish",
        '(param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))'
        " (result (result (error $error-code)))",
    ),
    "set": (
        "types", "[static]response-outparam.set",
        '(param "param" (own $response-outparam)) (param "response"'
        " (result (own $outgoing-response) (error $error-code)))",
    ),
    "request": (
        "types", "[constructor]outgoing-request",
        '(param "headers" (own $fields)) (result (own $outgoing-request))',
    ),
    "set-method": (
        "types", "[method]outgoing-request.set-method",
        '(param "self" (borrow $outgoing-request)) (param "method" $method) (result (result))',
    ),
    "method": (
        "types", "[method]outgoing-request.method",
        '(param "self" (borrow $outgoing-request)) (result $method)',
    ),
    "set-scheme": (
        "types", "[method]outgoing-request.set-scheme",
        '(param "self" (borrow $outgoing-request)) (param "scheme" (option $scheme))'
        " (result (result))",
    ),
    "scheme": (
        "types", "[method]outgoing-request.scheme",
        '(param "self" (borrow $outgoing-request)) (result (option $scheme))',
    ),
    "set-target": (
        "types", "[method]outgoing-request.set-path-with-query",
        '(param "self" (borrow $outgoing-request)) (param "path-with-query" (option string))'
        " (result (result))",
    ),
    "target": (
        "types", "[method]outgoing-request.path-with-query",
        '(param "self" (borrow $outgoing-request)) (result (option string))',
    ),
    "options": ("types", "[constructor]request-options", "(result (own $request-options))"),
    "set-timeout": (
        "types", "[method]request-options.set-connect-timeout",
        '(param "self" (borrow $request-options)) (param "duration" (option u64))'
        " (result (result))",
    ),
    "timeout": (
        "types", "[method]request-options.connect-timeout",
        '(param "self" (borrow $request-options)) (result (option u64))',
    ),
    "send": (
        "outgoing", "handle",
        '(param "request" (own $outgoing-request)) (param "options"'
        " (option (own $request-options)))"
        " (result (result (own $future-incoming-response) (error $error-code)))",
    ),
    "read": (
        "streams", "[method]input-stream.blocking-read",
        '(param "self" (borrow $input-stream)) (param "len" u64)'
        " (result (result (list u8) (error $stream-error)))",
    ),
    "write": (
        "streams", "[method]output-stream.blocking-write-and-flush",
        '(param "self" (borrow $output-stream)) (param "contents" (list u8))'
        " (result (result (error $stream-error)))",
    ),
    "block": ("poll", "[method]pollable.block", '(param "self" (borrow $pollable))'),
    "timer": (
        "clock", "subscribe-duration", '(param "when" u64) (result (own $pollable))',
    ),
    "stdout": ("stdout", "get-stdout", "(result (own $output-stream))"),
}  # fmt: skip
_DROPS = (
    "fields", "incoming-request", "incoming-body", "input-stream", "output-stream",
    "outgoing-body", "pollable",
)  # fmt: skip
# what the core module sees of each import: parameters, result
_CORE = {
    "path": "(param i32 i32)", "headers": "(param i32) (result i32)",
    "consume": "(param i32 i32)", "stream": "(param i32 i32)",
    "finish-in": "(param i32) (result i32)", "trailers": "(param i32 i32)",
    "fields": "(result i32)", "append": "(param i32 i32 i32 i32 i32 i32)",
    "entries": "(param i32 i32)", "response": "(param i32) (result i32)",
    "status": "(param i32 i32) (result i32)", "body": "(param i32 i32)",
    "write-body": "(param i32 i32)", "finish-out": "(param i32 i32 i32 i32)",
    "request": "(param i32) (result i32)",
    "set-method": "(param i32 i32 i32 i32) (result i32)", "method": "(param i32 i32)",
    "set-scheme": "(param i32 i32 i32 i32 i32) (result i32)", "scheme": "(param i32 i32)",
    "set-target": "(param i32 i32 i32 i32) (result i32)", "target": "(param i32 i32)",
    "options": "(result i32)", "set-timeout": "(param i32 i32 i64) (result i32)",
    "timeout": "(param i32 i32)", "send": "(param i32 i32 i32 i32)",
    "set": "(param i32 i32 i32 i32 i64 i32 i32 i32 i32)", "read": "(param i32 i64 i32)",
    "write": "(param i32 i32 i32 i32)", "block": "(param i32)",
    "timer": "(param i64) (result i32)", "stdout": "(result i32)",
}  # fmt: skip

_CORE_CODE = Path(__file__).with_suffix(".wat").read_text()


def _resource_aliases(instance: str, names: tuple[str, ...]) -> str:
    return "".join(f'(alias export ${instance} "{name}" (type ${name}))\n' for name in names)


def _functions(interface: str) -> str:
    return "".join(
        f'(export "{name}" (func {signature}))\n'
        for where, name, signature in _IMPORTS.values()
        if where == interface
    )


def component(version: str = "0.2.3") -> str:
    """The component, for this version of WASI."""
    own = "".join(f'(export "{name}" (type ${name} (sub resource)))\n' for name in _RESOURCES)
    lowered = "".join(
        f'(core func ${core} (canon lower (func ${where} "{name}")'
        " (memory $memory) (realloc $realloc)))\n"
        for core, (where, name, _) in _IMPORTS.items()
    )
    drops = "".join(f"(core func $drop-{name} (canon resource.drop ${name}))\n" for name in _DROPS)
    names = (*_IMPORTS, *(f"drop-{name}" for name in _DROPS))
    given = "".join(f'(export "{name}" (func ${name}))\n' for name in names)
    core = "".join(
        f'(import "host" "{name}" (func ${name} {_CORE.get(name, "(param i32)")}))\n'
        for name in names
    )
    return f"""(component
  (import "wasi:io/poll@{version}" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    {_functions("poll")}))
  {_resource_aliases("poll", ("pollable",))}
  (import "wasi:io/error@{version}" (instance $error (export "error" (type (sub resource)))))
  {_resource_aliases("error", ("error",))}
  (import "wasi:io/streams@{version}" (instance $streams
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    (alias outer 1 $error (type $error0))
    (export "error" (type $error1 (eq $error0)))
    (type $se (variant (case "last-operation-failed" (own $error1)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $se)))
    {_functions("streams")}))
  {_resource_aliases("streams", ("input-stream", "output-stream"))}
  (import "wasi:cli/stdout@{version}" (instance $stdout
    (alias outer 1 $output-stream (type $output-stream0))
    (export "output-stream" (type $output-stream (eq $output-stream0)))
    {_functions("stdout")}))
  (import "wasi:clocks/monotonic-clock@{version}" (instance $clock
    (alias outer 1 $pollable (type $pollable0))
    (export "pollable" (type $pollable (eq $pollable0)))
    {_functions("clock")}))
  (import "wasi:http/types@{version}" (instance $types
    {own}
    (alias outer 1 $input-stream (type $input-stream0))
    (export "input-stream" (type $input-stream (eq $input-stream0)))
    (alias outer 1 $output-stream (type $output-stream0))
    (export "output-stream" (type $output-stream (eq $output-stream0)))
    {VARIANTS}
    {_functions("types")}))
  {_resource_aliases("types", (*_RESOURCES, "error-code"))}
  (import "wasi:http/outgoing-handler@{version}" (instance $outgoing
    (alias outer 1 $outgoing-request (type $request0))
    (export "outgoing-request" (type $outgoing-request (eq $request0)))
    (alias outer 1 $request-options (type $options0))
    (export "request-options" (type $request-options (eq $options0)))
    (alias outer 1 $future-incoming-response (type $future0))
    (export "future-incoming-response" (type $future-incoming-response (eq $future0)))
    (alias outer 1 $error-code (type $code0))
    (export "error-code" (type $error-code (eq $code0)))
    {_functions("outgoing")}))
  (core module $env-module
    (memory (export "memory") 1)
    (global $top (export "top") (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at
        (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $env (instantiate $env-module))
  (alias core export $env "memory" (core memory $memory))
  (alias core export $env "realloc" (core func $realloc))
  {lowered}
  {drops}
  (core module $m
    {core}
    {_CORE_CODE})
  (core instance $i (instantiate $m
    (with "env" (instance $env))
    (with "host" (instance {given}))))
  (func $handle (param "request" (own $incoming-request))
    (param "response-out" (own $response-outparam)) (canon lift (core func $i "handle")))
  (component $shape
    (import "incoming-request" (type $request (sub resource)))
    (import "response-outparam" (type $out (sub resource)))
    (import "handle" (func $handle (param "request" (own $request))
      (param "response-out" (own $out))))
    (export "handle" (func $handle)))
  (instance $handler (instantiate $shape
    (with "incoming-request" (type $incoming-request))
    (with "response-outparam" (type $response-outparam))
    (with "handle" (func $handle))))
  (export "wasi:http/incoming-handler@{version}" (instance $handler)))"""
