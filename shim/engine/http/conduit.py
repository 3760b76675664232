"""A second component of our own: it hands out wasmtime's streams for requests that guests make.

Rules: there is no other way to a native stream than through an interface that makes some, and the
one without a limit of three is wasi:http itself. So each request of a guest's is a native one to
our own relay (`shim.outbound.relay`), by an address and a path that the relay alone knows; its
bodies are those of the guest's request. What it keeps of a request is in the row of a number that
the host gives, until the host has it dropped.
"""

# The names of its exports.
EXPORTS = ("new", "out", "finish", "send", "ready", "in", "drop")

# of requests that one guest holds at a time: the rows of the table in its one page of memory
MAX_REQUESTS = 3072

_SIZE = '(record (field "field-name" (option string)) (field "field-size" (option u32)))'
_DNS = '(record (field "rcode" (option string)) (field "info-code" (option u16)))'
_TLS = '(record (field "alert-id" (option u8)) (field "alert-message" (option string)))'
_CASES = (
    ("DNS-timeout", ""), ("DNS-error", "$dns"), ("destination-not-found", ""),
    ("destination-unavailable", ""), ("destination-IP-prohibited", ""),
    ("destination-IP-unroutable", ""), ("connection-refused", ""), ("connection-terminated", ""),
    ("connection-timeout", ""), ("connection-read-timeout", ""), ("connection-write-timeout", ""),
    ("connection-limit-reached", ""), ("TLS-protocol-error", ""), ("TLS-certificate-error", ""),
    ("TLS-alert-received", "$tls"), ("HTTP-request-denied", ""),
    ("HTTP-request-length-required", ""), ("HTTP-request-body-size", "(option u64)"),
    ("HTTP-request-method-invalid", ""), ("HTTP-request-URI-invalid", ""),
    ("HTTP-request-URI-too-long", ""), ("HTTP-request-header-section-size", "(option u32)"),
    ("HTTP-request-header-size", "(option $size)"),
    ("HTTP-request-trailer-section-size", "(option u32)"), ("HTTP-request-trailer-size", "$size"),
    ("HTTP-response-incomplete", ""), ("HTTP-response-header-section-size", "(option u32)"),
    ("HTTP-response-header-size", "$size"), ("HTTP-response-body-size", "(option u64)"),
    ("HTTP-response-trailer-section-size", "(option u32)"), ("HTTP-response-trailer-size", "$size"),
    ("HTTP-response-transfer-coding", "(option string)"),
    ("HTTP-response-content-coding", "(option string)"), ("HTTP-response-timeout", ""),
    ("HTTP-upgrade-failed", ""), ("HTTP-protocol-error", ""), ("loop-detected", ""),
    ("configuration-error", ""), ("internal-error", "(option string)"),
)  # fmt: skip
_ERROR_CODE = " ".join(f'(case "{name}" {held})' for name, held in _CASES)
_METHODS = ("get", "head", "post", "put", "delete", "connect", "options", "trace", "patch")
_METHOD = " ".join(f'(case "{name}")' for name in _METHODS) + ' (case "other" string)'
_RESOURCES = (
    "fields", "outgoing-request", "request-options", "outgoing-body", "incoming-response",
    "incoming-body", "future-incoming-response",
)  # fmt: skip
_OWN = "".join(f'(export "{name}" (type ${name} (sub resource)))\n' for name in _RESOURCES)
_ALIASES = "".join(f'(alias export $types "{name}" (type ${name}))\n' for name in _RESOURCES)
# in the core module: where and what it is in wasi, and what it is there
_LOWERED = (
    ("fields", "$types", "[constructor]fields", "(result i32)"),
    ("request", "$types", "[constructor]outgoing-request", "(param i32) (result i32)"),
    ("set-method", "$types", "[method]outgoing-request.set-method",
     "(param i32 i32 i32 i32) (result i32)"),
    ("set-scheme", "$types", "[method]outgoing-request.set-scheme",
     "(param i32 i32 i32 i32 i32) (result i32)"),
    ("set-authority", "$types", "[method]outgoing-request.set-authority",
     "(param i32 i32 i32 i32) (result i32)"),
    ("set-path", "$types", "[method]outgoing-request.set-path-with-query",
     "(param i32 i32 i32 i32) (result i32)"),
    ("body", "$types", "[method]outgoing-request.body", "(param i32 i32)"),
    ("write", "$types", "[method]outgoing-body.write", "(param i32 i32)"),
    ("finish", "$types", "[static]outgoing-body.finish", "(param i32 i32 i32 i32)"),
    ("subscribe", "$types", "[method]future-incoming-response.subscribe",
     "(param i32) (result i32)"),
    ("get", "$types", "[method]future-incoming-response.get", "(param i32 i32)"),
    ("consume", "$types", "[method]incoming-response.consume", "(param i32 i32)"),
    ("stream", "$types", "[method]incoming-body.stream", "(param i32 i32)"),
    ("block", "$poll", "[method]pollable.block", "(param i32)"),
    ("handle", "$handler", "handle", "(param i32 i32 i32 i32)"),
)  # fmt: skip
_CANON = "".join(
    f'(core func ${core} (canon lower (func {where} "{name}")'
    " (memory $memory) (realloc $realloc)))\n"
    for core, where, name, _ in _LOWERED
)
_GIVEN = "".join(f'(export "{core}" (func ${core}))\n' for core, *_ in _LOWERED)
_IMPORTED = "".join(
    f'(import "host" "{core}" (func ${core} {kind}))\n' for core, _, _, kind in _LOWERED
)

# A row is 16 bytes, 0 where there is none: by their places, what is dropped in this order.
_ROW = {"outgoing-body": 0, "outgoing-request": 8, "future-incoming-response": 4,
        "incoming-body": 12}  # fmt: skip
_DROP_ROW = "".join(
    f"""(local.set $held (i32.load offset={place} (local.get $row)))
      (if (local.get $held) (then
        (i32.store offset={place} (local.get $row) (i32.const 0))
        (call $drop-{name} (local.get $held))))
"""
    for name, place in _ROW.items()
)
_DROPS = ("pollable", "incoming-response", *_ROW)
_DROPPING = "".join(f"(core func $drop-{name} (canon resource.drop ${name}))\n" for name in _DROPS)
_DROPPED = "".join(
    f'(import "host" "drop-{name}" (func $drop-{name} (param i32)))\n' for name in _DROPS
)
_GIVEN += "".join(f'(export "drop-{name}" (func $drop-{name}))\n' for name in _DROPS)

TEXT = f"""(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $pollable (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type (sub resource)))
    (export "output-stream" (type (sub resource)))))
  (alias export $streams "input-stream" (type $in))
  (alias export $streams "output-stream" (type $out))
  (import "wasi:http/types@0.2.0" (instance $types
    {_OWN}
    (alias outer 1 $in (type $in0)) (export "input-stream" (type $in1 (eq $in0)))
    (alias outer 1 $out (type $out0)) (export "output-stream" (type $out1 (eq $out0)))
    (alias outer 1 $pollable (type $p0)) (export "pollable" (type $p1 (eq $p0)))
    (type $dns0 {_DNS}) (export "DNS-error-payload" (type $dns (eq $dns0)))
    (type $tls0 {_TLS}) (export "TLS-alert-received-payload" (type $tls (eq $tls0)))
    (type $size0 {_SIZE}) (export "field-size-payload" (type $size (eq $size0)))
    (type $code0 (variant {_ERROR_CODE})) (export "error-code" (type $code (eq $code0)))
    (type $method0 (variant {_METHOD})) (export "method" (type $method (eq $method0)))
    (type $scheme0 (variant (case "HTTP") (case "HTTPS") (case "other" string)))
    (export "scheme" (type $scheme (eq $scheme0)))
    (export "[constructor]fields" (func (result (own $fields))))
    (export "[constructor]outgoing-request" (func (param "headers" (own $fields))
      (result (own $outgoing-request))))
    (export "[method]outgoing-request.set-method" (func
      (param "self" (borrow $outgoing-request)) (param "method" $method) (result (result))))
    (export "[method]outgoing-request.set-scheme" (func
      (param "self" (borrow $outgoing-request)) (param "scheme" (option $scheme))
      (result (result))))
    (export "[method]outgoing-request.set-authority" (func
      (param "self" (borrow $outgoing-request)) (param "authority" (option string))
      (result (result))))
    (export "[method]outgoing-request.set-path-with-query" (func
      (param "self" (borrow $outgoing-request)) (param "path-with-query" (option string))
      (result (result))))
    (export "[method]outgoing-request.body" (func (param "self" (borrow $outgoing-request))
      (result (result (own $outgoing-body)))))
    (export "[method]outgoing-body.write" (func (param "self" (borrow $outgoing-body))
      (result (result (own $out1)))))
    (export "[static]outgoing-body.finish" (func (param "this" (own $outgoing-body))
      (param "trailers" (option (own $fields))) (result (result (error $code)))))
    (export "[method]future-incoming-response.subscribe" (func
      (param "self" (borrow $future-incoming-response)) (result (own $p1))))
    (export "[method]future-incoming-response.get" (func
      (param "self" (borrow $future-incoming-response)) (result (option (result (result
      (own $incoming-response) (error $code)))))))
    (export "[method]incoming-response.consume" (func
      (param "self" (borrow $incoming-response)) (result (result (own $incoming-body)))))
    (export "[method]incoming-body.stream" (func (param "self" (borrow $incoming-body))
      (result (result (own $in1)))))))
  {_ALIASES}
  (alias export $types "error-code" (type $code))
  (import "wasi:http/outgoing-handler@0.2.0" (instance $handler
    (alias outer 1 $outgoing-request (type $r0))
    (export "outgoing-request" (type $r1 (eq $r0)))
    (alias outer 1 $request-options (type $o0))
    (export "request-options" (type $o1 (eq $o0)))
    (alias outer 1 $future-incoming-response (type $f0))
    (export "future-incoming-response" (type $f1 (eq $f0)))
    (alias outer 1 $code (type $c0)) (export "error-code" (type $c1 (eq $c0)))
    (export "handle" (func (param "request" (own $r1)) (param "options" (option (own $o1)))
      (result (result (own $f1) (error $c1)))))))
  (core module $memory-module
    (memory (export "memory") 1)
    (global $top (export "top") (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $env (instantiate $memory-module))
  (alias core export $env "memory" (core memory $memory))
  (alias core export $env "realloc" (core func $realloc))
  {_CANON}
  {_DROPPING}
  (core module $m
    (import "env" "memory" (memory 1))
    (import "env" "top" (global $top (mut i32)))
    {_IMPORTED}
    {_DROPPED}
    (func $row (param i32) (result i32)
      (i32.add (i32.const 8192) (i32.shl (local.get 0) (i32.const 4))))
    (func $must (param i32) (if (local.get 0) (then unreachable)))
    (func (export "new") (param $number i32) (local $request i32) (local $row i32)
      (local.set $row (call $row (local.get $number)))
      (local.set $request (call $request (call $fields)))
      (i32.store offset=8 (local.get $row) (local.get $request))
      (call $must (call $set-method (local.get $request) (i32.const 2) (i32.const 0) (i32.const 0)))
      (call $must (call $set-scheme (local.get $request)
        (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
      (call $body (local.get $request) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (i32.store (local.get $row) (i32.load (i32.const 20))))
    (func (export "send") (param $number i32) (param $authority i32) (param $size i32)
      (param $path i32) (param $length i32) (local $request i32)
      (global.set $top (i32.const 1024))
      (local.set $request (i32.load offset=8 (call $row (local.get $number))))
      (call $must (call $set-authority (local.get $request)
        (i32.const 1) (local.get $authority) (local.get $size)))
      (call $must (call $set-path (local.get $request)
        (i32.const 1) (local.get $path) (local.get $length)))
      (i32.store offset=8 (call $row (local.get $number)) (i32.const 0))
      (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (i32.store offset=4 (call $row (local.get $number)) (i32.load (i32.const 24))))
    (func (export "out") (param $number i32) (result i32)
      (call $write (i32.load (call $row (local.get $number))) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (i32.load (i32.const 20)))
    (func (export "finish") (param $number i32) (local $body i32)
      (local.set $body (i32.load (call $row (local.get $number))))
      (i32.store (call $row (local.get $number)) (i32.const 0))
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 16)))
    (func $ready (export "ready") (param $number i32) (result i32)
      (call $subscribe (i32.load offset=4 (call $row (local.get $number)))))
    (func (export "in") (param $number i32) (result i32) (local $ready i32) (local $response i32)
      (global.set $top (i32.const 1024))
      (local.set $ready (call $ready (local.get $number)))
      (call $block (local.get $ready))
      (call $drop-pollable (local.get $ready))
      (i32.store8 (i32.const 800) (i32.const 1))
      (call $get (i32.load offset=4 (call $row (local.get $number))) (i32.const 16))
      (if (i32.or (i32.eqz (i32.load8_u (i32.const 16)))
          (i32.or (i32.load8_u (i32.const 24)) (i32.load8_u (i32.const 32))))
        (then (return (i32.const 800))))
      (local.set $response (i32.load (i32.const 40)))
      (call $consume (local.get $response) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (call $drop-incoming-response (local.get $response))
      (i32.store offset=12 (call $row (local.get $number)) (i32.load (i32.const 20)))
      (call $stream (i32.load (i32.const 20)) (i32.const 800))
      (i32.const 800))
    (func (export "drop") (param $number i32) (local $row i32) (local $held i32)
      (local.set $row (call $row (local.get $number)))
      {_DROP_ROW}))
  (core instance $i (instantiate $m (with "env" (instance $env)) (with "host" (instance
    {_GIVEN}))))
  (func (export "new") (param "number" u32) (canon lift (core func $i "new")))
  (func (export "send") (param "number" u32) (param "authority" string) (param "path" string)
    (canon lift (core func $i "send") (memory $memory) (realloc $realloc)))
  (func (export "out") (param "number" u32) (result (own $out)) (canon lift (core func $i "out")))
  (func (export "finish") (param "number" u32) (canon lift (core func $i "finish")))
  (func (export "ready") (param "number" u32) (result (own $pollable))
    (canon lift (core func $i "ready")))
  (func (export "in") (param "number" u32) (result (result (own $in)))
    (canon lift (core func $i "in") (memory $memory)))
  (func (export "drop") (param "number" u32) (canon lift (core func $i "drop"))))"""
