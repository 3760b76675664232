import pytest

from shim.engine.interfaces.provider import INTERFACES
from shim.wasm.binary import Kind
from shim.wasm.needs import DRAFTS, Outside, World, look_at
from tests.support import guests


def look(text: str) -> Outside:
    found = look_at(guests.binary(text))
    assert found
    return found


def features(outside: Outside) -> set[str]:
    return {need.feature for need in outside.needs}


def component(*lines: str) -> str:
    return "(component " + "\n".join(lines) + ")"


def imported(name: str) -> str:
    return f'(import "{name}" (instance))'


def exported(name: str) -> str:
    return f'(instance (export "{name}"))'


@pytest.mark.parametrize(
    ("text", "world", "wasi", "refusal"),
    [
        (guests.HELLO, World.COMMAND, "0.1", ""),
        (guests.TRAP, World.COMMAND, "", ""),
        (guests.REACTOR, World.REACTOR, "0.1", ""),
        ('(module (func (export "f")))', World.LIBRARY, "", ""),
        (guests.UNKNOWN_IMPORTS, World.COMMAND, "0.1", "it imports env.foo and 1 more"),
        (guests.COMPONENT_OK, World.COMMAND, "0.2.3", ""),
        (guests.COMPONENT_HTTP, World.HTTP, "0.2.0", ""),
        (component(), World.LIBRARY, "", ""),
        (component(exported("wasi:cli/run@0.3.0")), World.COMMAND, "0.3.0", "WASI 0.3"),
        (component(imported("wasi:cli/stdin@0.2.9")), World.LIBRARY, "0.2.9", ""),
        (component(imported("wasi:cli/stdin@0.1.0")), World.LIBRARY, "0.1.0", "nobody provides"),
    ],
)
def test_kind_of_program(text: str, world: World, wasi: str, refusal: str) -> None:
    found = look(text)
    assert (found.world, found.wasi) == (world, wasi)
    assert refusal in found.refusal
    assert bool(refusal) == bool(found.refusal)


@pytest.mark.parametrize(
    ("name", "feature", "provided", "refused"),
    [
        ("wasi:http/outgoing-handler@0.2.1", "outgoing-http", True, False),
        ("wasi:sockets/tcp@0.2.0", "sockets", False, False),
        ("wasi:keyvalue/store@0.2.0-draft", "keyvalue", True, False),
        ("wasi:keyvalue/watcher@0.2.0-draft", "keyvalue", False, True),
        ("wasi:config/store@0.2.0-rc.1", "config", True, False),
        ("wasi:config/store@0.2.0-rc.9", "config", False, True),
        ("wasi:nn/graph@0.2.0-rc", "wasi-nn", False, True),
        ("wasi:logging/logging", "logging", False, True),
        ("fermyon:spin/llm@2.0.0", "spin", False, True),
        ("example:own/thing@1.0.0", "example:own", False, True),
    ],
)
def test_features_of_components(name: str, feature: str, *, provided: bool, refused: bool) -> None:
    found = look(component(imported(name)))
    assert [(need.feature, need.provided) for need in found.needs] == [(feature, provided)]
    assert bool(found.refusal) is refused


@pytest.mark.parametrize(
    ("imports", "feature", "refused"),
    [
        ('(import "wasi_snapshot_preview1" "sock_accept" (func))', "sockets", False),
        ('(import "wasi" "thread-spawn" (func))', "threads", True),
        ('(import "wasi_unstable" "fd_write" (func))', "wasi-0.0", True),
        ('(import "wasi_ephemeral_nn" "load" (func))', "wasi-nn", True),
        ('(import "wasi_snapshot_preview1" "no_such" (func))', "wasi_snapshot_preview1", True),
        ('(import "env" "f" (func))', "env", True),
        ("(memory 1 1 shared)", "threads", False),
    ],
)
def test_features_of_modules(imports: str, feature: str, *, refused: bool) -> None:
    found = look(f"(module {imports})")
    assert features(found) == {feature}
    assert bool(found.refusal) is refused


def test_a_name_without_a_package_is_no_reason() -> None:
    """It may be a type, which a component only passes on."""
    found = look('(component (import "t" (type (sub resource))))')
    assert found.refusal == ""


def test_serving_is_a_need_that_is_met() -> None:
    [need] = look(guests.COMPONENT_HTTP).needs
    assert (need.feature, need.provided) == ("serving-http", True)


def test_each_need_is_said_once() -> None:
    names = ("wasi:sockets/tcp@0.2.0", "wasi:sockets/udp@0.2.0")
    assert len(look(component(*map(imported, names))).needs) == 1


def test_newest_version_counts() -> None:
    names = ("wasi:io/poll@0.2.9", "wasi:io/error@0.2.10")
    assert look(component(*map(imported, names))).wasi == "0.2.10"


def test_text_and_other_files() -> None:
    text = look_at(b"(module)")
    assert text
    assert (text.kind, text.world) == (Kind.TEXT, World.UNKNOWN)
    assert look_at(b"\x7fELF") is None
    assert look_at(b"") is None


def test_drafts_are_those_that_the_engine_has() -> None:
    assert set(INTERFACES) == DRAFTS
