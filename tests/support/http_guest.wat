;; The fields of the core module of http_guest.py, behind its imports of WASI.
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
      (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
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
        (call $must (i32.load8_u (i32.const 40)))
        (call $must (i32.load8_u (i32.const 48)))
        (call $end (i32.load8_u (i32.const 56)) (i32.load (i32.const 60))))
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
        (call $set (local.get $out) (i32.const 1) (i32.const 38) ;; internal-error
          (i32.const 1) (i64.const 1027) (i32.const 5) (i32.const 0) (i32.const 0)
          (i32.const 0))
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
        (call $say (i32.load (i32.const 52)) (i32.load (i32.const 56)))
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
          (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        return))
    unreachable)
