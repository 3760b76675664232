"""A command that makes requests: what it asks for is in its text, the answer's body its output.

Its exit status is 1 where there is no answer, and its output ends with one byte then: the place of
the case in `error-code`. It lets go of all that belongs to a request before it makes the next.
"""

from dataclasses import dataclass

from tests.support.outbound_guest import CASES, declarations

_USED = (
    "request", "set-method", "set-scheme", "set-authority", "set-path", "request-body",
    "write-body", "finish", "subscribe", "get", "status", "consume", "stream", "fields", "send",
    "read", "write", "block", "response", "response-body", "end-in", "trailers-ready",
    "trailers-get",
)  # fmt: skip
_DROPPED = (
    "input-stream", "output-stream", "pollable", "future-incoming-response", "incoming-response",
    "incoming-body", "future-trailers", "outgoing-response",
)  # fmt: skip
_PIECE = 4096


@dataclass(frozen=True)
class Wanted:
    """A request: `https`, how many pieces of 4 KiB its body has, and how often it is made."""

    authority: str
    path: str = "/"
    https: bool = False
    pieces: int = 0
    times: int = 1


def case(output: str) -> str:
    """The error that a command has met."""
    return CASES[ord(output[-1])]


def component(wanted: Wanted, version: str = "0.2.3") -> str:
    """The component, for this version of WASI."""
    head, names, core = declarations(version, _USED, _DROPPED)
    size, path_size = len(wanted.authority), len(wanted.path)
    return f"""(component
  {head}
  (import "wasi:cli/stdout@{version}" (instance $stdout
    (alias outer 1 $output-stream (type $out0))
    (export "output-stream" (type $out1 (eq $out0)))
    (export "get-stdout" (func (result (own $out1))))))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core module $m
    {core}
    (import "host" "get-stdout" (func $get-stdout (result i32)))
    (import "env" "memory" (memory 1))
    (import "env" "top" (global $top (mut i32)))
    (data (i32.const 1024) "{wanted.authority}")
    (data (i32.const 2048) "{wanted.path}")
    (func $must (param i32) (if (local.get 0) (then unreachable)))
    (func $copy (param $in i32) (param $out i32)
      (loop $more
        (global.set $top (i32.const 4096))
        (call $read (local.get $in) (i64.const {_PIECE}) (i32.const 64))
        (if (i32.load8_u (i32.const 64))
          (then
            ;; the end is `closed`; anything else must not look like one
            (call $must (i32.eqz (i32.load8_u (i32.const 68))))
            return))
        (call $write (local.get $out) (i32.load (i32.const 68)) (i32.load (i32.const 72))
          (i32.const 80))
        (call $must (i32.load8_u (i32.const 80)))
        (br $more)))
    (func $send-body (param $body i32) (local $stream i32) (local $left i32)
      (call $write-body (local.get $body) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (local.set $stream (i32.load (i32.const 20)))
      (local.set $left (i32.const {wanted.pieces}))
      (loop $more
        (call $write (local.get $stream) (i32.const 16384) (i32.const {_PIECE}) (i32.const 80))
        (call $must (i32.load8_u (i32.const 80)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br_if $more (local.get $left)))
      (call $drop-output-stream (local.get $stream))
      (call $finish (local.get $body) (i32.const 0) (i32.const 0) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16))))
    (func $fail (param $out i32) (param $code i32) (result i32)
      (i32.store8 (i32.const 100) (local.get $code))
      (call $write (local.get $out) (i32.const 100) (i32.const 1) (i32.const 80))
      (i32.const 1))
    (func $one (param $out i32) (result i32)
      (local $request i32) (local $body i32) (local $future i32) (local $ready i32)
      (local $response i32) (local $stream i32)
      (local.set $request (call $request (call $fields)))
      (call $must (call $set-method (local.get $request) (i32.const {2 if wanted.pieces else 0})
        (i32.const 0) (i32.const 0)))
      (call $must (call $set-scheme (local.get $request)
        (i32.const 1) (i32.const {int(wanted.https)}) (i32.const 0) (i32.const 0)))
      (call $must (call $set-authority (local.get $request)
        (i32.const 1) (i32.const 1024) (i32.const {size})))
      (call $must (call $set-path (local.get $request)
        (i32.const 1) (i32.const 2048) (i32.const {path_size})))
      (if (i32.const {wanted.pieces}) (then
        (call $request-body (local.get $request) (i32.const 16))
        (call $must (i32.load8_u (i32.const 16)))
        (local.set $body (i32.load (i32.const 20)))))
      (call $send (local.get $request) (i32.const 0) (i32.const 0) (i32.const 16))
      (if (i32.load8_u (i32.const 16))
        (then (return (call $fail (local.get $out) (i32.load8_u (i32.const 24))))))
      (local.set $future (i32.load (i32.const 24)))
      (if (local.get $body) (then (call $send-body (local.get $body))))
      (local.set $ready (call $subscribe (local.get $future)))
      (call $block (local.get $ready))
      (call $drop-pollable (local.get $ready))
      (call $get (local.get $future) (i32.const 16))
      (call $must (i32.eqz (i32.load8_u (i32.const 16))))
      (call $must (i32.load8_u (i32.const 24)))
      (if (i32.load8_u (i32.const 32))
        (then (return (call $fail (local.get $out) (i32.load8_u (i32.const 40))))))
      (local.set $response (i32.load (i32.const 40)))
      (call $consume (local.get $response) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (local.set $body (i32.load (i32.const 20)))
      (call $stream (local.get $body) (i32.const 16))
      (call $must (i32.load8_u (i32.const 16)))
      (local.set $stream (i32.load (i32.const 20)))
      (call $copy (local.get $stream) (local.get $out))
      (call $drop-input-stream (local.get $stream))
      ;; its trailers, of which there are none
      (local.set $body (call $end-in (local.get $body)))
      (local.set $ready (call $trailers-ready (local.get $body)))
      (call $block (local.get $ready))
      (call $drop-pollable (local.get $ready))
      (call $trailers-get (local.get $body) (i32.const 16))
      (call $must (i32.eqz (i32.load8_u (i32.const 16))))
      (call $must (i32.load8_u (i32.const 24)))
      (call $must (i32.load8_u (i32.const 32)))
      (call $must (i32.load8_u (i32.const 40)))
      (call $drop-future-trailers (local.get $body))
      (call $drop-incoming-response (local.get $response))
      (call $drop-future-incoming-response (local.get $future))
      (i32.const 0))
    (func (export "run") (result i32) (local $out i32) (local $left i32) (local $response i32)
      ;; nobody has asked it, so there is nobody to answer
      (local.set $response (call $response (call $fields)))
      (call $response-body (local.get $response) (i32.const 16))
      (call $must (i32.eqz (i32.load8_u (i32.const 16))))
      (call $drop-outgoing-response (local.get $response))
      (local.set $out (call $get-stdout))
      (local.set $left (i32.const {wanted.times}))
      (loop $more
        (if (i32.eqz (local.get $left)) (then (return (i32.const 0))))
        (if (call $one (local.get $out)) (then (return (i32.const 1))))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $more))
      (unreachable)))
  (core instance $i (instantiate $m (with "env" (instance $env)) (with "host" (instance
    {names}
    (export "get-stdout" (func $get-stdout))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@{version}" (instance $command)))"""
