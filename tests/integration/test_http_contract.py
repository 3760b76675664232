"""Components that declare wasi:http in other types than it has: refused by name, nothing runs."""

from pathlib import Path

import pytest

import shim.engine.http.linker  # noqa: F401 (whose imports fill types.FUNCTIONS)
from shim.engine.http import contract, types
from tests.support import guests, http_guest
from tests.support.http_server import serving
from tests.support.http_types import VARIANTS

pytestmark = pytest.mark.root

_RESOURCES = "".join(
    f'(export "{name}" (type ${name} (sub resource)))'
    for name in ("fields", "incoming-request", "response-outparam", "future-incoming-response")
)
_STREAMS = """(import "wasi:io/streams@0.2.0" (instance $io
    (export "input-stream" (type (sub resource)))
    (export "output-stream" (type (sub resource)))))
  (alias export $io "input-stream" (type $in)) (alias export $io "output-stream" (type $out))"""


def _types(function: str) -> str:
    return f"""{_STREAMS} (import "wasi:http/types@0.2.9" (instance $types
      {_RESOURCES} {VARIANTS}
      (alias outer 1 $in (type $in0)) (export "input-stream" (type $input (eq $in0)))
      {function}))"""


def _with(imports: str) -> str:
    return guests.COMPONENT_HTTP.replace("(component", f"(component {imports}", 1)


_SELF = '(param "self" (borrow $fields))'
_NAME = '(param "name" string)'
_HAS = "[method]fields.has"
_WRONG = {
    "a number for a string": (_HAS, f'{_SELF} (param "name" u64) (result bool)'),
    "no result": (_HAS, f"{_SELF} {_NAME}"),
    "another result": (_HAS, f"{_SELF} {_NAME} (result u8)"),
    "no parameter": (_HAS, f"{_SELF} (result bool)"),
    "one more": (_HAS, f'{_SELF} {_NAME} (param "more" u8) (result bool)'),
    "another resource": (
        "[static]fields.from-list",
        '(param "entries" (list (tuple string (list u8))))'
        " (result (result (own $incoming-request) (error $header-error)))",
    ),
    "a stream": (
        "http-error-code", '(param "err" (borrow $input)) (result (option $error-code))',
    ),
    "owned": (
        "[static]response-outparam.set",
        '(param "param" (borrow $response-outparam)) (param "response"'
        " (result (own $fields) (error $error-code)))",
    ),
    "a flat list": (
        "[method]fields.append",
        f'{_SELF} {_NAME} (param "value" (list u64)) (result (result (error $header-error)))',
    ),
    "a result out of nothing": (
        "[static]response-outparam.set",
        '(param "param" (own $response-outparam)) (param "response" u64)',
    ),
    "another variant": (
        "[method]incoming-request.method",
        '(param "self" (borrow $incoming-request)) (result $scheme)',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _WRONG)
def test_functions_of_types(name: str, tmp_path: Path) -> None:
    member, form = _WRONG[name]
    with serving(tmp_path, _with(_types(f'(export "{member}" (func {form}))'))) as one:
        assert one.status == 137
        assert f"component imports {member} of wasi:http/types@0.2.9 as " in one.log


def test_functions_that_wait(tmp_path: Path) -> None:
    form = f'(export "{_HAS}" (func async {_SELF} {_NAME} (result bool)))'
    with serving(tmp_path, _with(_types(form))) as one:
        assert one.status == 137
        assert f"{_HAS} of wasi:http/types@0.2.9 as async (borrow<fields>,string)->bool" in one.log


@pytest.mark.parametrize(
    ("imports", "said"),
    [
        (
            '(import "wasi:http/outgoing-handler@0.2.1" (instance (export "handle" (func))))',
            "imports handle of wasi:http/outgoing-handler@0.2.1 as ()",
        ),
        (
            '(import "wasi:http/outgoing-handler@0.2.1" (instance (export "more" (func))))',
            "imports more of wasi:http/outgoing-handler@0.2.1 as (); Tandem has no such function",
        ),
        (
            '(import "wasi:cli/stdout@0.2.2" (instance (export "get-stdout" (func))))',
            "imports get-stdout of wasi:cli/stdout@0.2.2 as ()",
        ),
        (
            '(import "wasi:cli/stdout@0.2.2" (instance (export "get-stdout"'
            ' (func (param "at" u64) (result u64)))))',
            "imports get-stdout of wasi:cli/stdout@0.2.2 as (u64)->u64",
        ),
        (
            '(import "wasi:http/types@0.2.0" (func (param "a" u64)))',
            "imports wasi:http/types@0.2.0, but as no interface",
        ),
        (
            '(import "wasi:http/incoming-handler@0.2.0" (instance))',
            "imports wasi:http/incoming-handler@0.2.0, which nobody provides",
        ),
        (
            '(import "wasi:http/types@0.2.0" (instance (export "new" (type (sub resource)))))',
            "imports wasi:http/types@0.2.0 new, which nobody provides",
        ),
    ],
)
def test_other_imports(imports: str, said: str, tmp_path: Path) -> None:
    with serving(tmp_path, _with(imports)) as one:
        assert one.status == 137
        assert f"tandem: component {said}" in one.log


_GIVEN = '(param "request" (own $incoming-request)) (param "response-out" (own $response-outparam))'


@pytest.mark.parametrize(
    ("form", "core", "said"),
    [
        ("", "", "()"),
        ('(param "a" u64) (param "b" u64)', "(param i64 i64)", "(u64,u64)"),
        (
            f"{_GIVEN} (result u32)",
            "(param i32 i32) (result i32)",
            "(own<incoming-request>,own<response-outparam>)->u32",
        ),
        (
            '(param "a" (own $response-outparam)) (param "b" (own $incoming-request))',
            "(param i32 i32)",
            "(own<response-outparam>,own<incoming-request>)",
        ),
        (
            '(param "a" (borrow $incoming-request)) (param "b" (own $response-outparam))',
            "(param i32 i32)",
            "(borrow<incoming-request>,own<response-outparam>)",
        ),
    ],
)
def test_handle(form: str, core: str, said: str, tmp_path: Path) -> None:
    text = f"""(component
      (import "wasi:http/types@0.2.0" (instance $types {_RESOURCES}))
      (alias export $types "incoming-request" (type $incoming-request))
      (alias export $types "response-outparam" (type $response-outparam))
      (core module $m (func (export "handle") {core} unreachable))
      (core instance $i (instantiate $m))
      (func $handle {form} (canon lift (core func $i "handle")))
      (instance $handler (export "handle" (func $handle)))
      (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"""
    with serving(tmp_path, text) as one:
        assert one.status == 137
        assert f"exports handle of wasi:http/incoming-handler@0.2.0 as {said}; Tandem" in one.log


def test_the_table_names_what_there_is() -> None:
    assert set(contract.FUNCTIONS[contract.TYPES]) == set(types.FUNCTIONS)


def test_a_good_component_is_served(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component("0.2.12")) as one:
        assert one.get("/a").startswith(b"HTTP/1.1 200 ")
