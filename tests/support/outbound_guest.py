"""A component that passes each request on to the server that its Host names, and the answer back.

The path's first letter: `s` asks by HTTPS, `n` names no server, `t` waits 300 ms for the first byte
and for every further one, `d` lets go of the body before its end. Where there is no answer, its own
is a 502 whose body is one byte: the place of the case in `error-code`.
"""

from collections.abc import Sequence

from shim.engine.http.conduit import _CASES, _DNS, _ERROR_CODE, _METHOD, _SIZE, _TLS

CASES = tuple(name for name, _ in _CASES)
_RESOURCES = (
    "fields", "incoming-request", "outgoing-request", "request-options", "response-outparam",
    "incoming-response", "incoming-body", "future-incoming-response", "future-trailers",
    "outgoing-response", "outgoing-body",
)  # fmt: skip
_B = {name: f'(param "self" (borrow ${name}))' for name in _RESOURCES}
_OPTIONAL = "(result (option string))"
_SET = "(result (result))"
# name in the core module: interface, name, type, type in the core module
_F = {
    "path": ("types", "[method]incoming-request.path-with-query",
             f"{_B['incoming-request']} {_OPTIONAL}", "(param i32 i32)"),
    "authority": ("types", "[method]incoming-request.authority",
                  f"{_B['incoming-request']} {_OPTIONAL}", "(param i32 i32)"),
    "method": ("types", "[method]incoming-request.method",
               f"{_B['incoming-request']} (result $method)", "(param i32 i32)"),
    "consume-in": ("types", "[method]incoming-request.consume",
                   f"{_B['incoming-request']} (result (result (own $incoming-body)))",
                   "(param i32 i32)"),
    "in-headers": ("types", "[method]incoming-request.headers",
                   f"{_B['incoming-request']} (result (own $fields))",
                   "(param i32) (result i32)"),
    "clone": ("types", "[method]fields.clone", f"{_B['fields']} (result (own $fields))",
              "(param i32) (result i32)"),
    "stream": ("types", "[method]incoming-body.stream",
               f"{_B['incoming-body']} (result (result (own $input-stream)))", "(param i32 i32)"),
    "request": ("types", "[constructor]outgoing-request",
                '(param "headers" (own $fields)) (result (own $outgoing-request))',
                "(param i32) (result i32)"),
    "set-method": ("types", "[method]outgoing-request.set-method",
                   f'{_B["outgoing-request"]} (param "method" $method) {_SET}',
                   "(param i32 i32 i32 i32) (result i32)"),
    "set-scheme": ("types", "[method]outgoing-request.set-scheme",
                   f'{_B["outgoing-request"]} (param "scheme" (option $scheme)) {_SET}',
                   "(param i32 i32 i32 i32 i32) (result i32)"),
    "set-authority": ("types", "[method]outgoing-request.set-authority",
                      f'{_B["outgoing-request"]} (param "authority" (option string)) {_SET}',
                      "(param i32 i32 i32 i32) (result i32)"),
    "set-path": ("types", "[method]outgoing-request.set-path-with-query",
                 f'{_B["outgoing-request"]} (param "path-with-query" (option string)) {_SET}',
                 "(param i32 i32 i32 i32) (result i32)"),
    "request-body": ("types", "[method]outgoing-request.body",
                     f"{_B['outgoing-request']} (result (result (own $outgoing-body)))",
                     "(param i32 i32)"),
    "options": ("types", "[constructor]request-options", "(result (own $request-options))",
                "(result i32)"),
    "first-byte": ("types", "[method]request-options.set-first-byte-timeout",
                   f'{_B["request-options"]} (param "duration" (option u64)) {_SET}',
                   "(param i32 i32 i64) (result i32)"),
    "between": ("types", "[method]request-options.set-between-bytes-timeout",
                f'{_B["request-options"]} (param "duration" (option u64)) {_SET}',
                "(param i32 i32 i64) (result i32)"),
    "write-body": ("types", "[method]outgoing-body.write",
                   f"{_B['outgoing-body']} (result (result (own $output-stream)))",
                   "(param i32 i32)"),
    "finish": ("types", "[static]outgoing-body.finish",
               '(param "this" (own $outgoing-body)) (param "trailers" (option (own $fields)))'
               " (result (result (error $error-code)))", "(param i32 i32 i32 i32)"),
    "subscribe": ("types", "[method]future-incoming-response.subscribe",
                  f"{_B['future-incoming-response']} (result (own $pollable))",
                  "(param i32) (result i32)"),
    "get": ("types", "[method]future-incoming-response.get",
            f"{_B['future-incoming-response']} (result (option (result (result"
            " (own $incoming-response) (error $error-code)))))", "(param i32 i32)"),
    "status": ("types", "[method]incoming-response.status",
               f"{_B['incoming-response']} (result u16)", "(param i32) (result i32)"),
    "headers": ("types", "[method]incoming-response.headers",
                f"{_B['incoming-response']} (result (own $fields))", "(param i32) (result i32)"),
    "consume": ("types", "[method]incoming-response.consume",
                f"{_B['incoming-response']} (result (result (own $incoming-body)))",
                "(param i32 i32)"),
    "fields": ("types", "[constructor]fields", "(result (own $fields))", "(result i32)"),
    "response": ("types", "[constructor]outgoing-response",
                 '(param "headers" (own $fields)) (result (own $outgoing-response))',
                 "(param i32) (result i32)"),
    "set-status": ("types", "[method]outgoing-response.set-status-code",
                   f'{_B["outgoing-response"]} (param "status-code" u16) {_SET}',
                   "(param i32 i32) (result i32)"),
    "response-body": ("types", "[method]outgoing-response.body",
                      f"{_B['outgoing-response']} (result (result (own $outgoing-body)))",
                      "(param i32 i32)"),
    "set": ("types", "[static]response-outparam.set",
            '(param "param" (own $response-outparam)) (param "response"'
            " (result (own $outgoing-response) (error $error-code)))",
            "(param i32 i32 i32 i32 i64 i32 i32 i32 i32)"),
    "send": ("outgoing", "handle",
             '(param "request" (own $outgoing-request)) (param "options"'
             " (option (own $request-options)))"
             " (result (result (own $future-incoming-response) (error $error-code)))",
             "(param i32 i32 i32 i32)"),
    "read": ("streams", "[method]input-stream.blocking-read",
             '(param "self" (borrow $input-stream)) (param "len" u64)'
             " (result (result (list u8) (error $stream-error)))", "(param i32 i64 i32)"),
    "write": ("streams", "[method]output-stream.blocking-write-and-flush",
              '(param "self" (borrow $output-stream)) (param "contents" (list u8))'
              " (result (result (error $stream-error)))", "(param i32 i32 i32 i32)"),
    "end-in": ("types", "[static]incoming-body.finish",
               '(param "this" (own $incoming-body)) (result (own $future-trailers))',
               "(param i32) (result i32)"),
    "trailers-ready": ("types", "[method]future-trailers.subscribe",
                       f"{_B['future-trailers']} (result (own $pollable))",
                       "(param i32) (result i32)"),
    "trailers-get": ("types", "[method]future-trailers.get",
                     f"{_B['future-trailers']} (result (option (result (result"
                     " (option (own $fields)) (error $error-code)))))", "(param i32 i32)"),
    "block": ("poll", "[method]pollable.block", '(param "self" (borrow $pollable))',
              "(param i32)"),
}  # fmt: skip
_OTHERS_ONLY = ("end-in", "trailers-ready", "trailers-get")
_SERVING = tuple(name for name in _F if name not in _OTHERS_ONLY)
_DROPS = ("input-stream", "output-stream", "pollable", "outgoing-body", "fields")

_CODE = """
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func $copy (param $in i32) (param $out i32)
    (loop $more
      (global.set $top (i32.const 4096))
      (call $read (local.get $in) (i64.const 4096) (i32.const 64))
      (if (i32.load8_u (i32.const 64))
        (then
          ;; the end is `closed`; anything else must not look like one
          (call $must (i32.eqz (i32.load8_u (i32.const 68))))
          return))
      (call $write (local.get $out) (i32.load (i32.const 68)) (i32.load (i32.const 72))
        (i32.const 80))
      (call $must (i32.load8_u (i32.const 80)))
      (br $more)))
  (func $answer (param $out i32) (param $status i32) (param $fields i32) (result i32)
    (local $response i32)
    (local.set $response (call $response (local.get $fields)))
    (call $must (call $set-status (local.get $response) (local.get $status)))
    (call $response-body (local.get $response) (i32.const 16))
    (call $must (i32.load8_u (i32.const 16)))
    (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
    (i32.load (i32.const 20)))
  (func $open (param $body i32) (result i32)
    (call $write-body (local.get $body) (i32.const 16))
    (call $must (i32.load8_u (i32.const 16)))
    (i32.load (i32.const 20)))
  (func $end (param $body i32) (param $stream i32)
    (call $drop-output-stream (local.get $stream))
    (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 16)))
  (func $fail (param $out i32) (param $code i32) (local $body i32) (local $stream i32)
    (local.set $body (call $answer (local.get $out) (i32.const 502) (call $fields)))
    (local.set $stream (call $open (local.get $body)))
    (i32.store8 (i32.const 100) (local.get $code))
    (call $write (local.get $stream) (i32.const 100) (i32.const 1) (i32.const 80))
    (call $end (local.get $body) (local.get $stream)))
  (func $wait (param $future i32) (local $ready i32)
    (local.set $ready (call $subscribe (local.get $future)))
    (call $block (local.get $ready))
    (call $drop-pollable (local.get $ready)))
  (func (export "handle") (param $in i32) (param $out i32)
    (local $request i32) (local $what i32) (local $body i32) (local $stream i32)
    (local $source i32) (local $future i32) (local $options i32) (local $some i32)
    (local $response i32)
    (local.set $request (call $request (call $clone (call $in-headers (local.get $in)))))
    (call $path (local.get $in) (i32.const 16))
    (local.set $what (i32.load8_u offset=1 (i32.load (i32.const 20))))
    (call $must (call $set-path (local.get $request) (i32.const 1)
      (i32.load (i32.const 20)) (i32.load (i32.const 24))))
    (call $authority (local.get $in) (i32.const 16))
    (if (i32.ne (local.get $what) (i32.const 0x6e))
      (then (call $must (call $set-authority (local.get $request) (i32.const 1)
        (i32.load (i32.const 20)) (i32.load (i32.const 24))))))
    (call $must (call $set-scheme (local.get $request) (i32.const 1)
      (i32.eq (local.get $what) (i32.const 0x73)) (i32.const 0) (i32.const 0)))
    (if (i32.eq (local.get $what) (i32.const 0x74))
      (then
        (local.set $some (i32.const 1))
        (local.set $options (call $options))
        (call $must (call $first-byte (local.get $options) (i32.const 1) (i64.const 300000000)))
        (call $must (call $between (local.get $options) (i32.const 1) (i64.const 300000000)))))
    (call $method (local.get $in) (i32.const 16))
    (call $must (call $set-method (local.get $request) (i32.load8_u (i32.const 16))
      (i32.load (i32.const 20)) (i32.load (i32.const 24))))
    (if (i32.eq (i32.load8_u (i32.const 16)) (i32.const 2))
      (then
        (call $request-body (local.get $request) (i32.const 16))
        (local.set $body (i32.load (i32.const 20)))
        (local.set $stream (call $open (local.get $body)))))
    (call $send (local.get $request) (local.get $some) (local.get $options) (i32.const 16))
    (if (i32.load8_u (i32.const 16))
      (then (call $fail (local.get $out) (i32.load8_u (i32.const 24))) return))
    (local.set $future (i32.load (i32.const 24)))
    (if (local.get $stream)
      (then
        (call $consume-in (local.get $in) (i32.const 16))
        (call $stream (i32.load (i32.const 20)) (i32.const 16))
        (local.set $source (i32.load (i32.const 20)))
        (call $copy (local.get $source) (local.get $stream))
        (if (i32.eq (local.get $what) (i32.const 0x64))
          (then
            (call $drop-output-stream (local.get $stream))
            (call $drop-outgoing-body (local.get $body)))
          (else (call $end (local.get $body) (local.get $stream))))))
    (call $wait (local.get $future))
    (call $get (local.get $future) (i32.const 16))
    (call $must (i32.eqz (i32.load8_u (i32.const 16))))
    (call $must (i32.load8_u (i32.const 24)))
    (if (i32.load8_u (i32.const 32))
      (then (call $fail (local.get $out) (i32.load8_u (i32.const 40))) return))
    (local.set $response (i32.load (i32.const 40)))
    (call $consume (local.get $response) (i32.const 16))
    (call $stream (i32.load (i32.const 20)) (i32.const 16))
    (local.set $source (i32.load (i32.const 20)))
    (local.set $body (call $answer (local.get $out) (call $status (local.get $response))
      (call $clone (call $headers (local.get $response)))))
    (local.set $stream (call $open (local.get $body)))
    (call $copy (local.get $source) (local.get $stream))
    (call $end (local.get $body) (local.get $stream)))
"""


def _functions(interface: str, used: Sequence[str]) -> str:
    return "".join(
        f'(export "{_F[core][1]}" (func {_F[core][2]}))\n'
        for core in used
        if _F[core][0] == interface
    )


def _aliases(instance: str, *names: str) -> str:
    return "".join(f'(alias export ${instance} "{name}" (type ${name}))\n' for name in names)


def _outer(*names: str) -> str:
    return "".join(
        f'(alias outer 1 ${name} (type ${name}0)) (export "{name}" (type ${name} (eq ${name}0)))\n'
        for name in names
    )


def declarations(version: str, used: Sequence[str], drops: Sequence[str]) -> tuple[str, str, str]:
    """What a component with these functions begins with; what its core module's instance is given,
    under `host` beside `env`; and the imports of that core module."""
    own = "".join(f'(export "{name}" (type ${name} (sub resource)))\n' for name in _RESOURCES)
    lowered = "".join(
        f'(core func ${core} (canon lower (func ${_F[core][0]} "{_F[core][1]}")'
        " (memory $memory) (realloc $realloc)))\n"
        for core in used
    )
    dropped = "".join(f"(core func $drop-{name} (canon resource.drop ${name}))\n" for name in drops)
    names = (*used, *(f"drop-{name}" for name in drops))
    given = "".join(f'(export "{name}" (func ${name}))\n' for name in names)
    core = "".join(
        f'(import "host" "{name}" (func ${name} {_F[name][3] if name in _F else "(param i32)"}))\n'
        for name in names
    )
    head = f"""(import "wasi:io/poll@{version}" (instance $poll
    (export "pollable" (type $pollable (sub resource))) {_functions("poll", used)}))
  {_aliases("poll", "pollable")}
  (import "wasi:io/error@{version}" (instance $error (export "error" (type (sub resource)))))
  {_aliases("error", "error")}
  (import "wasi:io/streams@{version}" (instance $streams
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    {_outer("error")}
    (type $se (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $se)))
    {_functions("streams", used)}))
  {_aliases("streams", "input-stream", "output-stream")}
  (import "wasi:http/types@{version}" (instance $types
    {own}
    {_outer("input-stream", "output-stream", "pollable")}
    (type $dns0 {_DNS}) (export "DNS-error-payload" (type $dns (eq $dns0)))
    (type $tls0 {_TLS}) (export "TLS-alert-received-payload" (type $tls (eq $tls0)))
    (type $size0 {_SIZE}) (export "field-size-payload" (type $size (eq $size0)))
    (type $code0 (variant {_ERROR_CODE})) (export "error-code" (type $error-code (eq $code0)))
    (type $method0 (variant {_METHOD})) (export "method" (type $method (eq $method0)))
    (type $scheme0 (variant (case "HTTP") (case "HTTPS") (case "other" string)))
    (export "scheme" (type $scheme (eq $scheme0)))
    {_functions("types", used)}))
  {_aliases("types", *_RESOURCES, "error-code")}
  (import "wasi:http/outgoing-handler@{version}" (instance $outgoing
    {_outer("outgoing-request", "request-options", "future-incoming-response", "error-code")}
    {_functions("outgoing", used)}))
  (core module $env-module
    (memory (export "memory") 1)
    (global $top (export "top") (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $env (instantiate $env-module))
  (alias core export $env "memory" (core memory $memory))
  (alias core export $env "realloc" (core func $realloc))
  {lowered}
  {dropped}"""
    return head, given, core


def component(version: str = "0.2.3") -> str:
    """The component, for this version of WASI."""
    head, given, core = declarations(version, _SERVING, _DROPS)
    return f"""(component
  {head}
  (core module $m
    {core}
    (import "env" "memory" (memory 1))
    (import "env" "top" (global $top (mut i32)))
    {_CODE})
  (core instance $i (instantiate $m
    (with "env" (instance $env)) (with "host" (instance {given}))))
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
