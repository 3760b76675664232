"""The same few programs for each kind of container, so that one test asks all kinds the same."""

import textwrap
from abc import ABC, abstractmethod
from pathlib import Path

import wasmtime
from typing_extensions import override

from tests.support.bundle import make_rootfs


class Workload(ABC):
    """Builds `process.args` for programs of one kind of container."""

    name: str

    @abstractmethod
    def exit(self, status: int) -> list[str]:
        """End at once with that status."""

    @abstractmethod
    def sleep(self) -> list[str]:
        """Sleep until a signal ends it."""

    @abstractmethod
    def cat(self) -> list[str]:
        """Copy stdin to stdout; 0 at its end."""

    @abstractmethod
    def say(self, out: str, err: str) -> list[str]:
        """Write to stdout and stderr, then end with 0."""

    @abstractmethod
    def flood(self, kib: int) -> list[str]:
        """Write that many KiB of `x` to stdout."""

    @abstractmethod
    def spin(self) -> list[str]:
        """Use the processor until a signal ends it."""

    @abstractmethod
    def eat(self) -> list[str]:
        """Take memory until there is none."""

    @abstractmethod
    def on_terminal(self) -> list[str]:
        """End with 0 if stdin is a terminal."""

    @abstractmethod
    def missing(self) -> list[str]:
        """Name a program that is not in the image."""


class Linux(Workload):
    """Programs of busybox."""

    name = "linux"

    @override
    def exit(self, status: int) -> list[str]:
        return ["/bin/sh", "-c", f"exit {status}"]

    @override
    def sleep(self) -> list[str]:
        return ["/bin/sleep", "1000"]

    @override
    def cat(self) -> list[str]:
        return ["/bin/cat"]

    @override
    def say(self, out: str, err: str) -> list[str]:
        return ["/bin/sh", "-c", f"echo -n {out}; echo -n {err} >&2"]

    @override
    def flood(self, kib: int) -> list[str]:
        return ["/bin/sh", "-c", f"yes x | tr -d '\\n' | head -c {kib * 1024}"]

    @override
    def spin(self) -> list[str]:
        return ["/bin/sh", "-c", "while :; do :; done"]

    @override
    def eat(self) -> list[str]:
        # tail keeps a line that does not end.
        return ["/bin/tail", "/dev/zero"]

    @override
    def on_terminal(self) -> list[str]:
        return ["/bin/sh", "-c", "test -t 0"]

    @override
    def missing(self) -> list[str]:
        return ["/bin/missing"]


class Wasm(Workload):
    """Modules of this file."""

    name = "wasm"

    @override
    def exit(self, status: int) -> list[str]:
        return ["/exit.wasm", str(status)]

    @override
    def sleep(self) -> list[str]:
        return ["/sleep.wasm"]

    @override
    def cat(self) -> list[str]:
        return ["/cat.wasm"]

    @override
    def say(self, out: str, err: str) -> list[str]:
        return ["/say.wasm", out, err]

    @override
    def flood(self, kib: int) -> list[str]:
        return ["/flood.wasm", str(kib)]

    @override
    def spin(self) -> list[str]:
        return ["/spin.wasm"]

    @override
    def eat(self) -> list[str]:
        return ["/eat.wasm"]

    @override
    def on_terminal(self) -> list[str]:
        return ["/isatty.wasm"]

    @override
    def missing(self) -> list[str]:
        return ["/missing.wasm"]


WORKLOADS: dict[str, Workload] = {"linux": Linux(), "wasm": Wasm()}

_PREVIEW1 = {
    "args_sizes_get": "(param i32 i32) (result i32)",
    "args_get": "(param i32 i32) (result i32)",
    "environ_sizes_get": "(param i32 i32) (result i32)",
    "environ_get": "(param i32 i32) (result i32)",
    "fd_fdstat_get": "(param i32 i32) (result i32)",
    "fd_read": "(param i32 i32 i32 i32) (result i32)",
    "fd_write": "(param i32 i32 i32 i32) (result i32)",
    "poll_oneoff": "(param i32 i32 i32 i32) (result i32)",
    "proc_exit": "(param i32)",
}

# Memory: 0 count, 4 size, 16.. pointers of args, 1024.. their text, 8192.. an iovec, 16384.. data.
_HELPERS = """
(func $length (param $p i32) (result i32) (local $n i32)
  (loop $next
    (if (i32.load8_u (i32.add (local.get $p) (local.get $n))) (then
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br $next))))
  (local.get $n))
(func $write (param $fd i32) (param $p i32) (param $n i32)
  (loop $more
    (if (local.get $n) (then
      (i32.store (i32.const 8192) (local.get $p))
      (i32.store (i32.const 8196) (local.get $n))
      (if (call $fd_write (local.get $fd) (i32.const 8192) (i32.const 1) (i32.const 8200))
        (then (call $proc_exit (i32.const 99))))
      (local.set $p (i32.add (local.get $p) (i32.load (i32.const 8200))))
      (local.set $n (i32.sub (local.get $n) (i32.load (i32.const 8200))))
      (br $more)))))
(func $load_args
  (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
  (drop (call $args_get (i32.const 16) (i32.const 1024))))
(func $number (param $p i32) (result i32) (local $n i32)
  (loop $next
    (if (i32.load8_u (local.get $p)) (then
      (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10))
        (i32.sub (i32.load8_u (local.get $p)) (i32.const 48))))
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (br $next))))
  (local.get $n))
"""

_BODIES = {
    "hello": """(data (i32.const 16384) "hello from wasm\\n")
      (func (export "_start") (call $write (i32.const 1) (i32.const 16384) (i32.const 16)))""",
    "exit": """(func (export "_start") (call $load_args)
      (call $proc_exit (call $number (i32.load (i32.const 20)))))""",
    "trap": """(func (export "_start") unreachable)""",
    "say": """(func (export "_start") (call $load_args)
      (call $write (i32.const 1)
        (i32.load (i32.const 20)) (call $length (i32.load (i32.const 20))))
      (call $write (i32.const 2)
        (i32.load (i32.const 24)) (call $length (i32.load (i32.const 24)))))""",
    "environ": """(func (export "_start") (call $load_args)
      (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 4)))
      (call $write (i32.const 1) (i32.const 512) (i32.const 1))
      (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
      (drop (call $environ_get (i32.const 16) (i32.const 1024)))
      (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 4))))""",
    "flood": """(func (export "_start") (local $left i32) (call $load_args)
      (memory.fill (i32.const 16384) (i32.const 120) (i32.const 1024))
      (local.set $left (call $number (i32.load (i32.const 20))))
      (loop $next (if (local.get $left) (then
        (call $write (i32.const 1) (i32.const 16384) (i32.const 1024))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (br $next)))))""",
    "cat": """(func (export "_start")
      (loop $next
        (i32.store (i32.const 8192) (i32.const 16384))
        (i32.store (i32.const 8196) (i32.const 4096))
        (if (call $fd_read (i32.const 0) (i32.const 8192) (i32.const 1) (i32.const 8204))
          (then (call $proc_exit (i32.const 98))))
        (if (i32.load (i32.const 8204)) (then
          (call $write (i32.const 1) (i32.const 16384) (i32.load (i32.const 8204)))
          (br $next)))))""",
    "spin": """(func (export "_start") (loop $next (br $next)))""",
    # 1 MiB at a time, every page of it written to.
    "eat": """(func (export "_start") (local $p i32)
      (loop $more
        (local.set $p (memory.grow (i32.const 16)))
        (if (i32.eq (local.get $p) (i32.const -1)) (then unreachable))
        (memory.fill (i32.mul (local.get $p) (i32.const 65536))
          (i32.const 1) (i32.const 1048576))
        (br $more)))""",
    # A terminal is a character device (2).
    "isatty": """(func (export "_start")
      (drop (call $fd_fdstat_get (i32.const 0) (i32.const 8192)))
      (call $proc_exit (i32.ne (i32.load8_u (i32.const 8192)) (i32.const 2))))""",
    "functions": """(func (export "_start") (call $proc_exit (i32.const 9)))
      (func (export "seven") (call $proc_exit (i32.const 7)))
      (func (export "eight") (call $proc_exit (i32.const 8)))
      (func (export "rest") (loop $next (br $next)))""",
    # One subscription: tag clock (0), monotonic (1), 1000 s from now.
    "sleep": """(func (export "_start")
      (i32.store (i32.const 16400) (i32.const 1))
      (i64.store (i32.const 16408) (i64.const 1000000000000))
      (drop (call $poll_oneoff
        (i32.const 16384) (i32.const 20000) (i32.const 1) (i32.const 8192))))""",
}


def compile_module(name: str) -> bytes:
    """Return one of this file's modules."""
    imports = "\n".join(
        f'(import "wasi_snapshot_preview1" "{function}" (func ${function} {kind}))'
        for function, kind in _PREVIEW1.items()
    )
    body = textwrap.dedent(_BODIES[name])
    text = f'(module {imports} (memory (export "memory") 1) {_HELPERS} {body})'
    return bytes(wasmtime.wat2wasm(text))


def make_image(directory: Path) -> Path:
    """Make one root file system that holds the programs of every workload."""
    rootfs = make_rootfs(directory)
    for name in _BODIES:
        (rootfs / f"{name}.wasm").write_bytes(compile_module(name))
    (rootfs / "broken.wasm").write_bytes(b"\0asm\x01\0\0\0\xff")
    return rootfs
