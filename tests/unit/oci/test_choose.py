"""Which module runs, by entry point and annotation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, ShimError, UnimplementedError
from shim.oci.artifact import Artifact, Module
from shim.oci.choose import MODULE_ANNOTATION, check_head, choose_module
from shim.oci.descriptors import Descriptor
from shim.oci.layers import Packing
from shim.oci.spin import Trigger
from tests.unit.oci.artifacts import CNCF_CONFIG, WASM, digest_of


def module(name: str, content: str = "", *kinds: str, env: tuple[str, ...] = ()) -> Module:
    data = (content or name).encode()
    triggers = tuple(Trigger(kind, kind, name, {}) for kind in kinds)
    descriptor = Descriptor(WASM, digest_of(data), len(data))
    return Module(descriptor, name, env, triggers=triggers, is_component_of_spin=bool(kinds))


def artifact(*modules: Module, native: tuple[Module, ...] = ()) -> Artifact:
    config = Descriptor(CNCF_CONFIG, digest_of(b"{}"), 2)
    return Artifact(digest_of(b"manifest"), Packing.CNCF, config, modules, native)


def chosen(of: Artifact, *args: str, **annotations: str) -> tuple[str, str | None]:
    names = {MODULE_ANNOTATION: annotations["module"]} if annotations else {}
    choice = choose_module(of, args, (), names)
    return choice.module.name, choice.function


ONE = artifact(module("app.wasm"))
SEVERAL = artifact(module("bin/app.wasm"), module("bin/tool.wasm"), module("", "nameless"))
TWINS = artifact(module("a/app.wasm"), module("b/app.wasm"))


@pytest.mark.parametrize(
    ("args", "function"),
    [
        ([], None),
        ([""], None),
        (["/"], None),
        (["/whatever"], None),
        (["sh", "-c", "x"], None),
        (["#init"], "init"),
        (["/x.wasm#init"], "init"),
    ],
)
def test_only_module_runs_whatever_the_command(args: list[str], function: str | None) -> None:
    assert chosen(ONE, *args) == ("app.wasm", function)


@pytest.mark.parametrize(
    ("of", "args0", "name"),
    [
        (SEVERAL, "bin/tool.wasm", "bin/tool.wasm"),
        (SEVERAL, "/bin/tool.wasm", "bin/tool.wasm"),
        (SEVERAL, "./bin/tool", "bin/tool.wasm"),
        (SEVERAL, "tool.wasm", "bin/tool.wasm"),
        (SEVERAL, "/tool", "bin/tool.wasm"),
        (SEVERAL, "app#run", "bin/app.wasm"),
        (SEVERAL, digest_of(b"nameless"), ""),
        (TWINS, "/b/app.wasm", "b/app.wasm"),
    ],
)
def test_entry_point_names_one_of_several(of: Artifact, args0: str, name: str) -> None:
    assert chosen(of, args0)[0] == name


@pytest.mark.parametrize(
    ("of", "args"),
    [
        (SEVERAL, []),
        (SEVERAL, ["/"]),
        (SEVERAL, ["#run"]),
        (SEVERAL, ["other"]),
        (TWINS, ["app.wasm"]),
    ],
)
def test_nothing_is_guessed(of: Artifact, args: list[str]) -> None:
    with pytest.raises(InvalidArgumentError, match="names none or more than one") as error:
        chosen(of, *args)
    text = str(error.value)
    assert all(each.descriptor.digest in text and each.name in text for each in of.modules)
    assert MODULE_ANNOTATION in text


@pytest.mark.parametrize("wanted", ["bin/tool.wasm", "tool", digest_of(b"bin/tool.wasm")])
def test_annotation_chooses_before_the_command(wanted: str) -> None:
    assert chosen(SEVERAL, "/bin/app.wasm#f", module=wanted) == ("bin/tool.wasm", "f")


@pytest.mark.parametrize("of", [ONE, SEVERAL])
def test_annotation_that_names_nothing(of: Artifact) -> None:
    with pytest.raises(InvalidArgumentError, match=r"'other' names none or more .*app\.wasm"):
        chosen(of, "/bin/app.wasm", module="other")


def test_native_code_is_refused() -> None:
    native = (module("app.cwasm"),)
    for of, args, annotations in (
        (artifact(native=native), ["/"], {}),
        (artifact(module("a"), module("b"), native=native), ["app.cwasm"], {}),
        (artifact(module("a"), native=native), ["a"], {"module": "app.cwasm"}),
    ):
        with pytest.raises(InvalidArgumentError, match=r"'app\.cwasm'.*native code is never"):
            chosen(of, *args, **annotations)
    assert chosen(artifact(module("a"), native=native), "/") == ("a", None)


def test_arguments_and_variables_of_the_guest() -> None:
    of = artifact(module("app.wasm", env=("A=1", "B=2")))
    choice = choose_module(of, ["/x#f", "y"], ["B=mine", "C=3"], {})
    assert choice.args == ("/x#f", "y")
    assert choice.env == ("A=1",)
    assert choose_module(of, [], [], {}).args == ("app.wasm",)
    assert choose_module(artifact(module("", "x")), [], [], {}).args == ("module.wasm",)


def test_component_of_spin_sees_its_id_first() -> None:
    of = artifact(module("one", "", "command"), module("two", "", "http"))
    assert choose_module(of, ["two", "x"], [], {}).args == ("two", "x")
    assert choose_module(artifact(module("one", "", "command")), ["/"], [], {}).args == ("one",)


def test_trigger_that_nobody_serves_is_named() -> None:
    with pytest.raises(UnimplementedError, match=r"'queue'.*by the trigger 'redis'.*command, http"):
        chosen(artifact(module("queue", "", "redis")), "/")
    assert chosen(artifact(module("both", "", "redis", "http")), "/")[0] == "both"


@pytest.mark.parametrize("head", [b"\0asm\1\0\0\0", b"\0asm\x0d\0\1\0", b"(module)"])
def test_head_of_wasm(head: bytes) -> None:
    check_head(module("a"), head)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (b"\x7fELF\2\1\1\xc8", "compiled already, and native code is never taken"),
        (b"\x1f\x8b\x08\0", "not Wasm: it begins with 1f 8b 08 00"),
        (b"", "begins with nothing"),
    ],
)
def test_head_of_something_else(head: bytes, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        check_head(module("a"), head)


@given(st.lists(st.text()), st.text(), st.lists(st.text()))
def test_any_text(args: list[str], wanted: str, names: list[str]) -> None:
    of = artifact(*(module(name) for name in names))
    try:
        choose_module(of, args, [], {MODULE_ANNOTATION: wanted})
    except ShimError:
        return
