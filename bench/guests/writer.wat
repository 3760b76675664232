;; Writes 1,600 times 64 KiB to stdout: the bytes 0 to 255, over and over.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "_start") (local $at i32) (local $left i32) (local $times i32)
    (loop $fill
      (i32.store8 (i32.add (i32.const 65536) (local.get $at)) (local.get $at))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $fill (i32.lt_u (local.get $at) (i32.const 65536))))
    (local.set $times (i32.const 1600))
    (loop $next
      (local.set $left (i32.const 65536))
      (loop $more
        ;; The iovec at 0: what is left of the block; the count of bytes written at 8.
        (i32.store (i32.const 0) (i32.sub (i32.const 131072) (local.get $left)))
        (i32.store (i32.const 4) (local.get $left))
        (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
          (then unreachable))
        (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
        (br_if $more (local.get $left)))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $next (local.get $times)))))
