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
    "set": "(param i32 i32 i32 i32 i32 i32)", "read": "(param i32 i64 i32)",
    "write": "(param i32 i32 i32 i32)", "block": "(param i32)",
    "timer": "(param i64) (result i32)", "stdout": "(result i32)",
}  # fmt: skip

_CORE_CODE = r"""
  (import "env" "memory" (memory 1))
  (global $top (import "env" "top") (mut i32))
  (global $count (mut i32) (i32.const 0))
  (global $out (mut i32) (i32.const 0))
  (global $body (mut i32) (i32.const 0))
  (data (i32.const 1024) "ok\nfirst\nlast\nprinted\nx-guestyes: \n")
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func $say (param $at i32) (param $size i32)
    (call $write (global.get $out) (local.get $at) (local.get $size) (i32.const 16))
    (call $must (i32.load8_u (i32.const 16))))
  ;; begin the answer: header in, body and stream out
  (func $begin (param $outparam i32) (param $status i32) (param $fields i32)
    (local $response i32)
    (local.set $response (call $response (local.get $fields)))
    (call $must (call $status (local.get $response) (local.get $status)))
    (call $body (local.get $response) (i32.const 16))
    (global.set $body (i32.load (i32.const 20)))
    (call $set (local.get $outparam) (i32.const 0) (local.get $response)
      (i32.const 0) (i32.const 0) (i32.const 0))
    (call $write-body (global.get $body) (i32.const 16))
    (global.set $out (i32.load (i32.const 20))))
  (func $end (param $has-trailers i32) (param $trailers i32)
    (call $drop-output-stream (global.get $out))
    (call $finish-out (global.get $body) (local.get $has-trailers) (local.get $trailers)
      (i32.const 16)))
  (func $wait (param i64) (local $p i32)
    (local.set $p (call $timer (local.get 0)))
    (call $block (local.get $p))
    (call $drop-pollable (local.get $p)))
  (func $ok (param $outparam i32)
    (call $begin (local.get $outparam) (i32.const 200) (call $fields))
    (call $say (i32.const 1024) (i32.const 3))
    (call $end (i32.const 0) (i32.const 0)))
  ;; copy the request's body, and its trailers if asked to
  (func $echo (param $request i32) (param $with-trailers i32)
    (local $in-body i32) (local $in i32) (local $future i32)
    (call $consume (local.get $request) (i32.const 16))
    (local.set $in-body (i32.load (i32.const 20)))
    (call $stream (local.get $in-body) (i32.const 16))
    (local.set $in (i32.load (i32.const 20)))
    (block $closed
      (loop $more
        (global.set $top (i32.const 4096))
        (call $read (local.get $in) (i64.const 4096) (i32.const 16))
        (br_if $closed (i32.load8_u (i32.const 16)))
        (call $say (i32.load (i32.const 20)) (i32.load (i32.const 24)))
        (br $more)))
    (call $drop-input-stream (local.get $in))
    (if (local.get $with-trailers)
      (then
        (local.set $future (call $finish-in (local.get $in-body)))
        (call $trailers (local.get $future) (i32.const 32))
        (call $must (i32.eqz (i32.load8_u (i32.const 32))))
        (call $must (i32.load8_u (i32.const 36)))
        (call $must (i32.load8_u (i32.const 40)))
        (call $end (i32.load8_u (i32.const 44)) (i32.load (i32.const 48))))
      (else
        (call $drop-incoming-body (local.get $in-body))
        (call $end (i32.const 0) (i32.const 0)))))
  (func $say-header (param $request i32) (local $at i32) (local $end i32)
    (call $entries (call $headers (local.get $request)) (i32.const 16))
    (local.set $at (i32.load (i32.const 16)))
    (local.set $end
      (i32.add (local.get $at) (i32.shl (i32.load (i32.const 20)) (i32.const 4))))
    (block $done
      (loop $more
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (call $say (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
        (call $say (i32.const 1056) (i32.const 2))
        (call $say (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at)))
        (call $say (i32.const 1058) (i32.const 1))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br $more))))
  (func (export "handle") (param $request i32) (param $out i32) (local $what i32) (local $n i32)
    (local $in i32) (local $size i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $path (local.get $request) (i32.const 16))
    (local.set $what (i32.load8_u offset=1 (i32.load (i32.const 20))))
    (if (i32.eq (local.get $what) (i32.const 0x61)) ;; a
      (then (call $ok (local.get $out)) return))
    (if (i32.eq (local.get $what) (i32.const 0x62)) ;; b
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (loop $again
          (call $say (i32.const 0) (i32.const 4096))
          (br $again))))
    (if (i32.eq (local.get $what) (i32.const 0x63)) ;; c
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (i32.store8 (i32.const 64) (i32.add (global.get $count) (i32.const 0x30)))
        ;; what an earlier instance has left in the memory would show as well
        (i32.store8 (i32.const 65)
          (i32.add (i32.load8_u (i32.const 60000)) (i32.const 0x30)))
        (i32.store8 (i32.const 60000) (i32.const 1))
        (call $say (i32.const 64) (i32.const 2))
        (call $end (i32.const 0) (i32.const 0))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x64)) ;; d
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $say (i32.const 1027) (i32.const 6))
        (call $drop-output-stream (global.get $out))
        (call $drop-outgoing-body (global.get $body))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x65)) ;; e
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $echo (local.get $request) (i32.const 0))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x66)) ;; f
      (then
        (call $set (local.get $out) (i32.const 1) (i32.const 0)
          (i32.const 1) (i32.const 1027) (i32.const 5))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x68)) ;; h
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $say-header (local.get $request))
        (call $end (i32.const 0) (i32.const 0))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x6c)) ;; l
      (then (loop $again (br $again))))
    (if (i32.eq (local.get $what) (i32.const 0x6d)) ;; m
      (then
        (loop $again
          (br_if $again
            (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        unreachable))
    (if (i32.eq (local.get $what) (i32.const 0x6e)) ;; n
      (then return))
    (if (i32.eq (local.get $what) (i32.const 0x6f)) ;; o
      (then
        (call $consume (local.get $request) (i32.const 16))
        (local.set $n (i32.load (i32.const 20)))
        (call $stream (local.get $n) (i32.const 16))
        (local.set $in (i32.load (i32.const 20)))
        (global.set $top (i32.const 4096))
        (local.set $size (i32.const 0))
        (block $closed
          (loop $more
            (call $read (local.get $in) (i64.const 4096) (i32.const 16))
            (br_if $closed (i32.load8_u (i32.const 16)))
            (local.set $size (i32.add (local.get $size) (i32.load (i32.const 24))))
            (br $more)))
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $say (i32.const 4096) (local.get $size))
        (call $end (i32.const 0) (i32.const 0))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x70)) ;; p
      (then
        (global.set $out (call $stdout))
        (call $say (i32.const 1038) (i32.const 8))
        (call $drop-output-stream (global.get $out))
        (call $ok (local.get $out))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x72)) ;; r
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $echo (local.get $request) (i32.const 1))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x73)) ;; s
      (then (call $wait (i64.const 0x7000000000000000))))
    (if (i32.eq (local.get $what) (i32.const 0x75)) ;; u
      (then
        (local.set $n (call $request (call $fields)))
        (call $must (call $set-method (local.get $n) (i32.const 2) (i32.const 0) (i32.const 0)))
        (call $method (local.get $n) (i32.const 16))
        (call $must (i32.ne (i32.load8_u (i32.const 16)) (i32.const 2)))
        (call $scheme (local.get $n) (i32.const 16))
        (call $must (i32.load8_u (i32.const 16)))
        (call $must (call $set-scheme (local.get $n)
          (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)))
        (call $scheme (local.get $n) (i32.const 16))
        (call $must (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1)))
        (call $must (call $set-target (local.get $n)
          (i32.const 1) (i32.const 1027) (i32.const 5)))
        (call $target (local.get $n) (i32.const 16))
        (call $must (i32.ne (i32.load (i32.const 24)) (i32.const 5)))
        (call $must (i32.ne (i32.load (i32.load (i32.const 20))) (i32.load (i32.const 1027))))
        (local.set $in (call $options))
        (call $timeout (local.get $in) (i32.const 16))
        (call $must (i32.load8_u (i32.const 16)))
        (call $must (call $set-timeout (local.get $in) (i32.const 1) (i64.const 77)))
        (call $timeout (local.get $in) (i32.const 16))
        (call $must (i64.ne (i64.load (i32.const 24)) (i64.const 77)))
        (call $send (local.get $n) (i32.const 1) (local.get $in) (i32.const 32))
        (call $must (i32.eqz (i32.load8_u (i32.const 32))))
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $say (i32.load (i32.const 44)) (i32.load (i32.const 48)))
        (call $end (i32.const 0) (i32.const 0))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x77)) ;; w
      (then
        (call $begin (local.get $out) (i32.const 200) (call $fields))
        (call $say (i32.const 1027) (i32.const 6))
        (call $wait (i64.const 500000000))
        (call $say (i32.const 1033) (i32.const 5))
        (call $end (i32.const 0) (i32.const 0))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x32)) ;; 2
      (then
        (call $ok (local.get $out))
        (call $ok (local.get $out))
        return))
    (if (i32.eq (local.get $what) (i32.const 0x33)) ;; 3
      (then
        (local.set $n (call $fields))
        (call $append (local.get $n) (i32.const 1046) (i32.const 7) (i32.const 1053) (i32.const 3)
          (i32.const 16))
        (call $must (i32.load8_u (i32.const 16)))
        (local.set $n (call $response (local.get $n)))
        (call $must (call $status (local.get $n) (i32.const 201)))
        (call $set (local.get $out) (i32.const 0) (local.get $n)
          (i32.const 0) (i32.const 0) (i32.const 0))
        return))
    unreachable)
"""


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
    (type $ec (variant (case "internal-error" (option string)) (case "HTTP-protocol-error")
      (case "connection-terminated") (case "connection-read-timeout")))
    (export "error-code" (type $error-code (eq $ec)))
    (type $he (variant (case "invalid-syntax") (case "forbidden") (case "immutable")))
    (export "header-error" (type $header-error (eq $he)))
    (type $m (variant (case "get") (case "head") (case "post") (case "other" string)))
    (export "method" (type $method (eq $m)))
    (type $s (variant (case "HTTP") (case "HTTPS") (case "other" string)))
    (export "scheme" (type $scheme (eq $s)))
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
