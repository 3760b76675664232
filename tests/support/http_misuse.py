"""A component that does whatever it is told with wasi:http: programs of calls, chosen by the path.

A program is a list of calls with flat arguments, as the canonical ABI has them: numbers, or what an
earlier call left behind. All programs are in the component; `/17` runs the seventeenth.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shim.engine.http import contract
from tests.support.http_functions import FUNCTIONS, Function
from tests.support.http_types import VARIANTS

_INDEX = {name: index for index, name in enumerate(FUNCTIONS)}


@dataclass(frozen=True)
class Left:
    """What call number `call` left behind, 32 bits at `offset`; 0 has the parameters of handle."""

    call: int
    offset: int = 0


Call = tuple[Any, ...]
Program = Sequence[Call]
REQUEST, OUTPARAM = Left(0), Left(0, 4)
# of one call, room enough for any result
_ROOM = 64
MAX_CALLS = 250
_ROOMS, _PROGRAMS, _LEFT = 0x8000, 0x20000, 1 << 40


def room(left: Left) -> int:
    """The address of what a call left behind."""
    return _ROOMS + left.call * _ROOM + left.offset


def _number(value: int) -> str:
    return "".join(f"\\{byte:02x}" for byte in (value & (1 << 64) - 1).to_bytes(8, "little"))


def _encoded(program: Program) -> str:
    assert len(program) <= MAX_CALLS
    words = []
    for name, *arguments in program:
        assert len(arguments) == len(FUNCTIONS[name].flat), (name, arguments)
        words += [_INDEX[name], len(arguments)]
        words += [_LEFT | room(one) if isinstance(one, Left) else one for one in arguments]
    return "".join(map(_number, [*words, -1]))


def _resource_names(where: str, *names: str) -> str:
    return "".join(f'(alias export ${where} "{name}" (type ${name}))' for name in names)


def _outer(*names: str) -> str:
    return "".join(
        f'(alias outer 1 ${name} (type ${name}-o)) (export "{name}" (type ${name} (eq ${name}-o)))'
        for name in names
    )


def _members(interface: str) -> str:
    return "\n".join(one.wat() for one in FUNCTIONS.values() if one.interface == interface)


def _stub(index: int, name: str, function: Function) -> str:
    arguments = "".join(
        f"({'i32.wrap_i64 (' if word == 'i32' else ''}call $argument (local.get 0)"
        f" (i32.const {16 + 8 * place})){')' if word == 'i32' else ''}"
        for place, word in enumerate(function.flat)
    )
    if name == "fill":
        return f"(func $do{index} (param i32 i32) (memory.fill {arguments}))"
    call = f"(call $f{index} {arguments}{' (local.get 1)' if function.through_memory else ''})"
    if function.result and not function.through_memory:
        call = f"(i32.store (local.get 1) {call})"
    return f"(func $do{index} (param i32 i32) {call})"


def component(texts: Sequence[tuple[int, bytes]], programs: Sequence[Program]) -> str:
    """The component.

    Args:
        texts: what the memory holds, and where: below 0x8000.
        programs: of calls.
    """
    encoded = [_encoded(program) for program in programs]
    starts = itertools.accumulate((len(text) // 3 for text in encoded), initial=0)
    table = _PROGRAMS + 4 * len(encoded)
    pointers = "".join(
        _number(table + start)[:12] for start, _ in zip(starts, encoded, strict=False)
    )
    heap = (table + sum(len(text) // 3 for text in encoded) + 0xFFFF) & ~0xFFFF
    lowered, imported, given, stubs = [], [], [], []
    for index, (name, function) in enumerate(FUNCTIONS.items()):
        stubs.append(_stub(index, name, function))
        if name == "fill":
            continue
        if function.interface:
            lowered.append(
                f'(core func $f{index} (canon lower (func ${function.interface} "{name}")'
                " (memory $memory) (realloc $realloc)))"
            )
        else:
            resource = function.parameters[0].parts[0]
            lowered.append(f"(core func $f{index} (canon resource.drop ${resource}))")
        flat = [*function.flat, *(["i32"] if function.through_memory else [])]
        result = "(result i32)" if function.result and not function.through_memory else ""
        imported.append(
            f'(import "host" "{index}" (func $f{index} (param {" ".join(flat)}) {result}))'
        )
        given.append(f'(export "{index}" (func $f{index}))')
    data = "".join(
        f'(data (i32.const {at}) "{"".join(f"{chr(92)}{byte:02x}" for byte in text)}")'
        for at, text in texts
    )
    ours = "".join(f'(export "{name}" (type ${name} (sub resource)))' for name in contract.KINDS)
    path = _INDEX["[method]incoming-request.path-with-query"]
    return f"""(component
  (import "wasi:io/poll@0.2.3" (instance $poll
    (export "pollable" (type $pollable (sub resource))) {_members("poll")}))
  {_resource_names("poll", "pollable")}
  (import "wasi:io/error@0.2.3" (instance $error
    (export "error" (type $error (sub resource))) {_members("error")}))
  {_resource_names("error", "error")}
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "input-stream" (type $input-stream (sub resource)))
    (export "output-stream" (type $output-stream (sub resource)))
    {_outer("error", "pollable")}
    (type $se (variant (case "last-operation-failed" (own $error)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $se)))
    {_members("streams")}))
  {_resource_names("streams", "input-stream", "output-stream")}
  (import "wasi:http/types@0.2.3" (instance $types
    {ours} {_outer("error", "pollable", "input-stream", "output-stream")} {VARIANTS}
    {_members("types")}))
  {_resource_names("types", *contract.KINDS, "error-code")}
  (import "wasi:http/outgoing-handler@0.2.3" (instance $outgoing
    {_outer("outgoing-request", "request-options", "future-incoming-response", "error-code")}
    {_members("outgoing")}))
  (core module $heap
    (memory (export "memory") {heap >> 16})
    (global $top (mut i32) (i32.const {heap}))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.set $top (i32.add (local.get $at) (local.get 3)))
      (loop $more
        (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
          (then
            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
            (br $more))))
      (local.get $at)))
  (core instance $env (instantiate $heap))
  (alias core export $env "memory" (core memory $memory))
  (alias core export $env "realloc" (core func $realloc))
  {"".join(lowered)}
  (core module $m
    (import "env" "memory" (memory 1))
    {"".join(imported)}
    {data} (data (i32.const {_PROGRAMS}) "{pointers}{"".join(encoded)}")
    (table funcref (elem {" ".join(f"$do{index}" for index in range(len(FUNCTIONS)))}))
    (func $argument (param i32 i32) (result i64) (local i64)
      (local.set 2 (i64.load (i32.add (local.get 0) (local.get 1))))
      (if (result i64) (i64.eq (i64.shr_u (local.get 2) (i64.const 40)) (i64.const 1))
        (then (i64.extend_i32_u (i32.load (i32.wrap_i64 (local.get 2)))))
        (else (local.get 2))))
    {"".join(stubs)}
    (func (export "handle") (param $request i32) (param $out i32)
      (local $at i32) (local $end i32) (local $number i32) (local $room i32)
      (call $f{path} (local.get $request) (i32.const 0))
      (local.set $at (i32.add (i32.load (i32.const 4)) (i32.const 1)))
      (local.set $end (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 8))))
      (loop $digits
        (if (i32.lt_u (local.get $at) (local.get $end))
          (then
            (local.set $number (i32.add (i32.mul (local.get $number) (i32.const 10))
              (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $digits))))
      (local.set $at (i32.load (i32.add (i32.const {_PROGRAMS})
        (i32.shl (local.get $number) (i32.const 2)))))
      (i32.store (i32.const {_ROOMS}) (local.get $request))
      (i32.store (i32.const {_ROOMS + 4}) (local.get $out))
      (local.set $room (i32.const {_ROOMS}))
      (loop $calls
        (if (i64.ne (i64.load (local.get $at)) (i64.const -1))
          (then
            (local.set $room (i32.add (local.get $room) (i32.const {_ROOM})))
            (call_indirect (param i32 i32) (local.get $at) (local.get $room)
              (i32.wrap_i64 (i64.load (local.get $at))))
            (local.set $at (i32.add (i32.add (local.get $at) (i32.const 16))
              (i32.shl (i32.wrap_i64 (i64.load offset=8 (local.get $at))) (i32.const 3))))
            (br $calls))))))
  (core instance $i (instantiate $m (with "env" (instance $env))
    (with "host" (instance {"".join(given)}))))
  (func $handle (param "request" (own $incoming-request))
    (param "response-out" (own $response-outparam)) (canon lift (core func $i "handle")))
  (component $shape
    (import "incoming-request" (type $request (sub resource)))
    (import "response-outparam" (type $out (sub resource)))
    (import "handle" (func $handle (param "request" (own $request))
      (param "response-out" (own $out))))
    (export "handle" (func $handle)))
  (instance $handler (instantiate $shape (with "incoming-request" (type $incoming-request))
    (with "response-outparam" (type $response-outparam)) (with "handle" (func $handle))))
  (export "wasi:http/incoming-handler@0.2.3" (instance $handler)))"""
