"""A CGI program that is a component, and makes a request: its answer is the one that it gets.

Where it gets none, its own is a 502, whose body is one byte: the place of the case in `error-code`.
"""

from tests.support import outbound_guest

_OK = "Content-Type: text/plain\n\n"
_BAD = "Status: 502 None\n\n"
_CODE = """
  (data (i32.const 1024) "{authority}")
  (data (i32.const 2048) "{path}")
  (data (i32.const 3072) "{ok}")
  (data (i32.const 3584) "{bad}")
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func $print (param $out i32) (param $at i32) (param $size i32)
    (call $write (local.get $out) (local.get $at) (local.get $size) (i32.const 80))
    (call $must (i32.load8_u (i32.const 80))))
  (func $fail (param $out i32) (param $code i32) (result i32)
    (call $print (local.get $out) (i32.const 3584) (i32.const {bad_size}))
    (i32.store8 (i32.const 100) (local.get $code))
    (call $print (local.get $out) (i32.const 100) (i32.const 1))
    (i32.const 0))
  (func (export "run") (result i32)
    (local $out i32) (local $request i32) (local $future i32) (local $ready i32) (local $in i32)
    (local.set $out (call $get-stdout))
    (local.set $request (call $request (call $fields)))
    (call $must (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0)
      (i32.const 0)))
    (call $must (call $set-authority (local.get $request) (i32.const 1) (i32.const 1024)
      (i32.const {authority_size})))
    (call $must (call $set-path (local.get $request) (i32.const 1) (i32.const 2048)
      (i32.const {path_size})))
    (call $send (local.get $request) (i32.const 0) (i32.const 0) (i32.const 16))
    (if (i32.load8_u (i32.const 16))
      (then (return (call $fail (local.get $out) (i32.load8_u (i32.const 24))))))
    (local.set $future (i32.load (i32.const 24)))
    (local.set $ready (call $subscribe (local.get $future)))
    (call $block (local.get $ready))
    (call $drop-pollable (local.get $ready))
    (call $get (local.get $future) (i32.const 16))
    (call $must (i32.load8_u (i32.const 24)))
    (if (i32.load8_u (i32.const 32))
      (then (return (call $fail (local.get $out) (i32.load8_u (i32.const 40))))))
    (call $consume (i32.load (i32.const 40)) (i32.const 16))
    (call $stream (i32.load (i32.const 20)) (i32.const 16))
    (local.set $in (i32.load (i32.const 20)))
    (call $print (local.get $out) (i32.const 3072) (i32.const {ok_size}))
    (loop $more
      (global.set $top (i32.const 4096))
      (call $read (local.get $in) (i64.const 4096) (i32.const 64))
      (if (i32.load8_u (i32.const 64))
        (then
          ;; the end is `closed`; anything else must not look like one
          (call $must (i32.eqz (i32.load8_u (i32.const 68))))
          (return (i32.const 0))))
      (call $print (local.get $out) (i32.load (i32.const 68)) (i32.load (i32.const 72)))
      (br $more))
    (unreachable))
"""
_STDOUT = """
  (import "wasi:cli/stdout@0.2.3" (instance $stdout
    (alias outer 1 $output-stream (type $stdout-stream0))
    (export "output-stream" (type $stdout-stream (eq $stdout-stream0)))
    (export "get-stdout" (func (result (own $stdout-stream))))))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core module $m
    (import "out" "get-stdout" (func $get-stdout (result i32)))"""
_RUN = """(func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $command)))"""


def component(authority: str, path: str = "/") -> str:
    """A program that asks this server, made of the guest that passes requests on."""
    code = _CODE.format(
        authority=authority,
        authority_size=len(authority),
        path=path,
        path_size=len(path),
        ok=_OK.replace("\n", "\\0a"),
        ok_size=len(_OK),
        bad=_BAD.replace("\n", "\\0a"),
        bad_size=len(_BAD),
    )
    text = outbound_guest.component().replace(outbound_guest._CODE, code)
    text = text.replace("(core module $m", _STDOUT, 1)
    env = '(with "env" (instance $env))'
    out = '(with "out" (instance (export "get-stdout" (func $get-stdout))))'
    text = text.replace(
        f"(core instance $i (instantiate $m\n    {env}",
        f"(core instance $i (instantiate $m\n    {env} {out}",
    )
    return text[: text.index('(func $handle (param "request"')] + _RUN
