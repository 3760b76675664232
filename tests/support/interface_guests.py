"""Components that import wasi:config and wasi:keyvalue, in each of the drafts' types.

`forwarding` exports every function that it imports, under the name INTERFACE-FUNCTION, so that a
test can call each through the component model. `COUNTING` is a command.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_STORE_ERROR = '(variant (case "no-such-store") (case "access-denied") (case "other" string))'
_CONFIG_ERROR = '(variant (case "upstream" string) (case "io" string))'
_FLAT = {"s64": "i64", "u64": "i64", "string": "i32 i32", "(borrow $bucket)": "i32"}
_FLAT |= {"(borrow $cas)": "i32", "(own $cas)": "i32", "(option u64)": "i32 i64"}
_FLAT |= {"(option string)": "i32 i32 i32"}
PAIR = "(tuple string (list u8))"


@dataclass(frozen=True)
class Draft:
    """The types in which drafts of one interface differ."""

    version: str
    cursor: str = "string"
    number: str = "s64"
    many: str = f"(option {PAIR})"
    cas: bool = True


DRAFT = Draft("0.2.0-draft", "u64", "u64", cas=False)
DRAFT2 = Draft("0.2.0-draft2")
# what Spin calls draft2
SPIN = Draft("0.2.0-draft2", many="(tuple string (option (list u8)))")

Function = tuple[tuple[str, ...], str]


def store_functions(draft: Draft) -> dict[str, Function]:
    """Parameters and the result's first half of each function of the store."""
    bucket = "(borrow $bucket)"
    return {
        "open": (("string",), "(own $bucket)"),
        "[method]bucket.get": ((bucket, "string"), "(option (list u8))"),
        "[method]bucket.set": ((bucket, "string", "(list u8)"), ""),
        "[method]bucket.delete": ((bucket, "string"), ""),
        "[method]bucket.exists": ((bucket, "string"), "bool"),
        "[method]bucket.list-keys": ((bucket, f"(option {draft.cursor})"), "$key-response"),
    }


def _atomics_functions(draft: Draft) -> dict[str, Function]:
    functions: dict[str, Function] = {
        "increment": (("(borrow $bucket)", "string", draft.number), draft.number)
    }
    if draft.cas:
        functions["[static]cas.new"] = (("(borrow $bucket)", "string"), "(own $cas)")
        functions["[method]cas.current"] = (("(borrow $cas)",), "(option (list u8))")
        functions["swap"] = (("(own $cas)", "(list u8)"), "")
    return functions


def _batch_functions(draft: Draft) -> dict[str, Function]:
    bucket = "(borrow $bucket)"
    return {
        "get-many": ((bucket, "(list string)"), f"(list {draft.many})"),
        "set-many": ((bucket, f"(list {PAIR})"), ""),
        "delete-many": ((bucket, "(list string)"), ""),
    }


_CONFIG: dict[str, Function] = {
    "get": (("string",), "(option string)"),
    "get-all": ((), "(list (tuple string string))"),
}


def _function_type(name: str, function: Function) -> str:
    parameters, result = function
    first = "self" if name.startswith("[method]") else "first"
    names = (first, "second", "third")
    texts = [f'(param "{word}" {kind})' for word, kind in zip(names, parameters, strict=False)]
    error = "$cas-error" if name == "swap" else "$error"
    return f"(func {' '.join(texts)} (result (result {result} (error {error}))))"


def _declared(functions: Mapping[str, Function]) -> str:
    return "\n".join(
        f'(export "{name}" {_function_type(name, function)})'
        for name, function in functions.items()
    )


def _outer(*names: str) -> str:
    return "\n".join(
        f'(alias outer 1 ${name} (type ${name}0)) (export "{name}" (type ${name} (eq ${name}0)))'
        for name in names
    )


def keyvalue_imports(draft: Draft, store: Mapping[str, Function] | None = None) -> str:
    """The imports of a component that uses all of wasi:keyvalue."""
    cas = """(export "cas" (type $cas (sub resource)))
      (type $cas-error0 (variant (case "store-error" $error) (case "cas-failed" (own $cas))))
      (export "cas-error" (type $cas-error (eq $cas-error0)))"""
    return f"""
    (import "wasi:keyvalue/store@{draft.version}" (instance $store
      (export "bucket" (type $bucket (sub resource)))
      (type $error0 {_STORE_ERROR}) (export "error" (type $error (eq $error0)))
      (type $key-response0
        (record (field "keys" (list string)) (field "cursor" (option {draft.cursor}))))
      (export "key-response" (type $key-response (eq $key-response0)))
      {_declared(store_functions(draft) if store is None else store)}))
    (alias export $store "bucket" (type $bucket))
    (alias export $store "error" (type $error))
    (alias export $store "key-response" (type $key-response))
    (import "wasi:keyvalue/atomics@{draft.version}" (instance $atomics
      {_outer("bucket", "error")}
      {cas if draft.cas else ""}
      {_declared(_atomics_functions(draft))}))
    {_aliased("atomics", "cas", "cas-error") if draft.cas else ""}
    (import "wasi:keyvalue/batch@{draft.version}" (instance $batch
      {_outer("bucket", "error")}
      {_declared(_batch_functions(draft))}))"""


def config_import(name: str) -> str:
    """The import of wasi:config under one of its names."""
    return f"""
    (import "{name}" (instance $config
      (type $error0 {_CONFIG_ERROR}) (export "error" (type $error (eq $error0)))
      {_declared(_CONFIG)}))"""


def _aliased(instance: str, *names: str) -> str:
    return " ".join(f'(alias export ${instance} "{name}" (type ${name}))' for name in names)


def forwarding(draft: Draft) -> str:
    """A component that exports what it imports of wasi:keyvalue."""
    interfaces = {
        "store": store_functions(draft),
        "atomics": _atomics_functions(draft),
        "batch": _batch_functions(draft),
    }
    return _forwarding(keyvalue_imports(draft), interfaces)


def forwarding_config(name: str) -> str:
    """A component that exports what it imports of wasi:config."""
    imports = config_import(name) + _aliased("config", "error")
    return _forwarding(imports, {"config": _CONFIG})


MEMORY = """
  (core module $memory
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      global.get $next
      (global.set $next (i32.add (global.get $next) (local.get 3)))
      (block $enough (loop $grow
        (br_if $enough (i32.le_u (global.get $next)
          (i32.shl (memory.size) (i32.const 16))))
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $grow)))))
  (core instance $heap (instantiate $memory))"""
OPTIONS = '(memory (core memory $heap "memory")) (realloc (core func $heap "realloc"))'


def _plain(interface: str, name: str) -> str:
    return f"{interface}-{name.replace('[method]', '').replace('[static]', '').replace('.', '-')}"


def _dropped(function: Function) -> str:
    """A borrowed handle ends with the call that it was given to."""
    first = function[0][0] if function[0] else ""
    if not first.startswith("(borrow"):
        return ""
    return f"(call $drop-{'bucket' if 'bucket' in first else 'cas'} (local.get 0))"


def _forwarding(imports: str, interfaces: Mapping[str, Mapping[str, Function]]) -> str:
    lowered, core_imports, core_exports, exported, lifted = [], [], [], [], []
    for interface, functions in interfaces.items():
        for name, function in functions.items():
            plain = _plain(interface, name)
            flat = " ".join(_FLAT.get(kind, "i32 i32") for kind in function[0])
            count = len(flat.split())
            lowered.append(
                f'(core func $l-{plain} (canon lower (func ${interface} "{name}") {OPTIONS}))'
            )
            core_imports.append(f'(import "host" "{plain}" (func $f-{plain} (param {flat} i32)))')
            arguments = " ".join(f"(local.get {index})" for index in range(count))
            drop = _dropped(function)
            core_exports.append(
                f'(func (export "{plain}") (param {flat}) (result i32)'
                f" (call $f-{plain} {arguments} (i32.const 1024)) {drop} i32.const 1024)"
            )
            exported.append(f'(export "{plain}" (func $l-{plain}))')
            lifted.append(
                f'(func (export "{plain}") {_function_type(name, function)[5:-1]}'
                f' (canon lift (core func $i "{plain}") {OPTIONS}))'
            )
    for resource in ("bucket", "cas"):
        if any(f"call $drop-{resource}" in text for text in core_exports):
            lowered.append(f"(core func $drop-{resource} (canon resource.drop ${resource}))")
            core_imports.append(
                f'(import "host" "drop-{resource}" (func $drop-{resource} (param i32)))'
            )
            exported.append(f'(export "drop-{resource}" (func $drop-{resource}))')
    lines = "\n".join
    return f"""(component {imports} {MEMORY}
  {lines(lowered)}
  (core module $m {lines(core_imports)} {lines(core_exports)})
  (core instance $i (instantiate $m (with "host" (instance {lines(exported)}))))
  {lines(lifted)})"""


# Opens the store "state", adds 1 to "hits" a hundred times, and copies the configuration's "colour"
# to the key "colour" until the key "end" exists.
COUNTING = f"""(component {keyvalue_imports(DRAFT2)}
  {config_import("wasi:config/store@0.2.0-draft-2024-09-27")} {MEMORY}
  (core func $open (canon lower (func $store "open") {OPTIONS}))
  (core func $set (canon lower (func $store "[method]bucket.set") {OPTIONS}))
  (core func $exists (canon lower (func $store "[method]bucket.exists") {OPTIONS}))
  (core func $increment (canon lower (func $atomics "increment") {OPTIONS}))
  (core func $get (canon lower (func $config "get") {OPTIONS}))
  (core module $m
    (import "heap" "memory" (memory 2))
    (import "host" "open" (func $open (param i32 i32 i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "host" "exists" (func $exists (param i32 i32 i32 i32)))
    (import "host" "increment" (func $increment (param i32 i32 i32 i64 i32)))
    (import "host" "get" (func $get (param i32 i32 i32)))
    (data (i32.const 16) "state") (data (i32.const 32) "hits")
    (data (i32.const 48) "colour") (data (i32.const 64) "end")
    (func $failed (result i32) (i32.load8_u (i32.const 1024)))
    (func (export "run") (result i32) (local $bucket i32) (local $left i32)
      (call $open (i32.const 16) (i32.const 5) (i32.const 1024))
      (if (call $failed) (then (return (i32.const 1))))
      (local.set $bucket (i32.load (i32.const 1028)))
      (local.set $left (i32.const 100))
      (loop $again
        (call $increment (local.get $bucket) (i32.const 32) (i32.const 4) (i64.const 1)
          (i32.const 1024))
        (if (call $failed) (then (return (i32.const 1))))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
      (loop $copy
        (call $get (i32.const 48) (i32.const 6) (i32.const 1024))
        (if (call $failed) (then (return (i32.const 1))))
        (if (i32.load8_u (i32.const 1028)) (then
          (call $set (local.get $bucket) (i32.const 48) (i32.const 6)
            (i32.load (i32.const 1032)) (i32.load (i32.const 1036)) (i32.const 1024))
          (if (call $failed) (then (return (i32.const 1))))))
        (call $exists (local.get $bucket) (i32.const 64) (i32.const 3) (i32.const 1024))
        (if (call $failed) (then (return (i32.const 1))))
        (br_if $copy (i32.eqz (i32.load8_u (i32.const 1028)))))
      i32.const 0))
  (core instance $i (instantiate $m (with "heap" (instance $heap)) (with "host" (instance
    (export "open" (func $open)) (export "set" (func $set)) (export "exists" (func $exists))
    (export "increment" (func $increment)) (export "get" (func $get))))))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $command (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $command)))"""
