"""A component of our own beside the guest's: it hands out wasmtime's own streams.

Rules: nothing else makes streams that a guest and the host can share, see decision 9 in the design:
a request's body is the store's standard input, an answer's body its standard output, and what the
guest prints goes to standard error.
"""

# The names of its exports, and what each of them hands out.
EXPORTS = ("in", "out", "err", "ready")

TEXT = """(component
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type (sub resource)))
    (export "output-stream" (type (sub resource)))))
  (alias export $streams "input-stream" (type $in))
  (alias export $streams "output-stream" (type $out))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $in (type $in0)) (export "input-stream" (type $in1 (eq $in0)))
    (export "get-stdin" (func (result (own $in1))))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $out (type $out0)) (export "output-stream" (type $out1 (eq $out0)))
    (export "get-stdout" (func (result (own $out1))))))
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $out (type $out0)) (export "output-stream" (type $out1 (eq $out0)))
    (export "get-stderr" (func (result (own $out1))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $p0)) (export "pollable" (type $p1 (eq $p0)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p1))))))
  (core func $get-in (canon lower (func $stdin "get-stdin")))
  (core func $get-out (canon lower (func $stdout "get-stdout")))
  (core func $get-err (canon lower (func $stderr "get-stderr")))
  (core func $get-timer (canon lower (func $clock "subscribe-duration")))
  (core module $m
    (import "host" "in" (func $in (result i32)))
    (import "host" "out" (func $out (result i32)))
    (import "host" "err" (func $err (result i32)))
    (import "host" "timer" (func $timer (param i64) (result i32)))
    (func (export "in") (result i32) call $in)
    (func (export "out") (result i32) call $out)
    (func (export "err") (result i32) call $err)
    (func (export "ready") (result i32) (call $timer (i64.const 0))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "in" (func $get-in)) (export "out" (func $get-out))
    (export "err" (func $get-err)) (export "timer" (func $get-timer))))))
  (func (export "in") (result (own $in)) (canon lift (core func $i "in")))
  (func (export "out") (result (own $out)) (canon lift (core func $i "out")))
  (func (export "err") (result (own $out)) (canon lift (core func $i "err")))
  (func (export "ready") (result (own $pollable)) (canon lift (core func $i "ready"))))"""
