"""Images, bundles, streams, mounts and options that cannot be used: refused clearly, harmlessly.

Whatever it is, Create names it, nothing is left of it, and the pod's shim goes on.
"""

import os
from pathlib import Path

import pytest

from shim.api import options_pb2, types_pb2
from shim.ttrpc.codes import Code
from tests.conformance.bad_case import (
    GOOD,
    Spoil,
    check_refused,
    check_still_serves,
    create,
    started,
)
from tests.support import guests
from tests.support.leaks import wait_until
from tests.support.shim_process import ShimManager, bind_mount

INVALID, INTERNAL, UNIMPLEMENTED = Code.INVALID_ARGUMENT, Code.INTERNAL, Code.UNIMPLEMENTED
COMPONENT_HEAD = b"\0asm\x0d\0\x01\0"
# Nobody plays the content store here, and who looks for a missing entry point has asked it, too.
UNASKED = r".*; its image may be a Wasm artifact, but the containerd at .* does not answer: No such"
NO_FILE = r"entry point /app\.wasm is not in the image or a volume: it names no reg.*" + UNASKED
Refusals = dict[str, tuple[Code, str, Spoil]]


def overlay(lower: str, *more: str) -> types_pb2.Mount:
    return types_pb2.Mount(type="overlay", source="overlay", options=[f"lowerdir={lower}", *more])


def half(text: str) -> bytes:
    binary = guests.binary(text)
    return binary[: len(binary) // 2]


IMAGES: Refusals = {
    "text": (
        INVALID,
        r"/app\.wasm is not a Wasm file: it begins with 6a 75 73 74 20 74 65 78, not with",
        lambda case: case.write(b"just text\n"),
    ),
    "empty": (INVALID, r"/app\.wasm is not a Wasm file: it is empty", lambda c: c.write(b"")),
    "magic-alone": (INVALID, r"/app\.wasm .* known version", lambda c: c.write(b"\0asm")),
    "truncated": (
        INVALID,
        r"(?s)/app\.wasm: wasmtime refuses the module: .*unexpected end",
        lambda case: case.write(half(guests.HELLO)),
    ),
    "unknown-version": (
        INVALID,
        r"(?s)/app\.wasm: wasmtime refuses the module: .*unknown binary version",
        lambda case: case.write(b"\0asm\x63\0\0\0"),
    ),
    "unknown-section": (
        INVALID,
        r"(?s)/app\.wasm: wasmtime refuses the module: .*malformed section id",
        lambda case: case.write(b"\0asm\x01\0\0\0\xff\xff"),
    ),
    "invalid-body": (
        INVALID,
        r"(?s)/app\.wasm: wasmtime refuses the module: .*type mismatch",
        lambda case: case.write('(module (func (export "_start") (result i32)))'),
    ),
    "broken-text": (
        INVALID,
        r"/app\.wasm: wasmtime refuses the module: ",
        lambda case: case.write(b"(module (func (export"),
    ),
    "truncated-component": (
        INVALID,
        r"/app\.wasm: component ends in the middle of a section",
        lambda case: case.write(half(guests.COMPONENT_OK)),
    ),
    "garbage-component": (
        INVALID,
        r"/app\.wasm: component ends in the middle of a section",
        lambda case: case.write(COMPONENT_HEAD + b"\x0a\xff\xff"),
    ),
    "component-0.3": (
        UNIMPLEMENTED,
        r"/app\.wasm: the component uses wasi:cli/environment@0\.3\.0: .* build it for WASI 0\.2",
        lambda case: case.write(guests.COMPONENT_WASI_0_3),
    ),
    "missing": (INVALID, NO_FILE, lambda case: None),
    "missing-linux": (
        INTERNAL,
        f'exec: "/missing": .*{UNASKED}',
        lambda c: c.process(args=["/missing"]),
    ),
    "directory": (INVALID, NO_FILE, lambda case: case.app.mkdir()),
    "fifo": (INVALID, NO_FILE, lambda case: os.mkfifo(case.app)),
    "device": (INVALID, NO_FILE, lambda case: case.device()),
    "socket": (INVALID, NO_FILE, lambda case: case.listen()),
    "symlink-loop": (INVALID, NO_FILE, lambda case: case.app.symlink_to("app.wasm")),
    "symlink-out": (INVALID, NO_FILE, lambda case: case.app.symlink_to("/etc/passwd")),
}

BUNDLES: Refusals = {
    "missing": (
        INVALID,
        "bundle DIR/gone: config.json: No such file",
        lambda case: case.ask(bundle=f"{case.directory}/gone"),
    ),
    "a-file": (
        INVALID,
        r"bundle /etc/passwd: config.json: Not a directory",
        lambda case: case.ask(bundle="/etc/passwd"),
    ),
    "relative": (INVALID, "bundle 'here' is not an absolute path", lambda c: c.ask(bundle="here")),
    "empty": (INVALID, "bundle '' is not an absolute path", lambda case: case.ask(bundle="")),
    "nul": (INVALID, "bundle /a\0b: config.json: ", lambda case: case.ask(bundle="/a\0b")),
    "4000-characters": (
        INVALID,
        "bundle /bbb.*: config.json: File name too long",
        lambda case: case.ask(bundle="/" + "b" * 3999),
    ),
    "4000-characters-deep": (
        INVALID,
        "bundle /b/b.*: config.json: No such file",
        lambda case: case.ask(bundle="/b" * 2000),
    ),
    "rootfs-is-a-file": (
        INVALID,
        r"rootfs DIR/.*/config\.json cannot be a directory",
        lambda case: case.own_rootfs("config.json"),
    ),
    "rootfs-is-empty": (INVALID, NO_FILE, lambda case: case.own_rootfs("new")),
}

STREAMS: Refusals = {
    "stdin-missing": (
        INVALID, "stdio DIR/gone: No such file", lambda c: c.ask(stdin=f"{c.directory}/gone"),
    ),
    "stdout-missing": (
        INVALID, "stdio DIR/gone: No such file", lambda c: c.ask(stdout=f"{c.directory}/gone"),
    ),
    "stdin-directory": (
        INVALID, "stdio DIR is neither a FIFO nor a file", lambda c: c.ask(stdin=f"{c.directory}"),
    ),
    "stderr-directory": (
        INVALID, "stdio DIR is neither a FIFO nor a file", lambda c: c.ask(stderr=f"{c.directory}"),
    ),
    "stdout-device": (
        INVALID, "stdio /dev/zero is neither a FIFO nor", lambda c: c.ask(stdout="/dev/zero"),
    ),
    "log-is-a-directory": (
        INVALID, "stdio DIR: Is a directory", lambda c: c.ask(stdout=f"file://{c.directory}"),
    ),
    "log-below-a-file": (
        INVALID, "stdio file:///etc/passwd/log: ", lambda c: c.ask(stdout="file:///etc/passwd/log"),
    ),
    "nul": (INVALID, "stdio /a\0b: ", lambda case: case.ask(stdout="/a\0b")),
    "long": (INVALID, "stdio /aaa.*: File name too long", lambda c: c.ask(stdout="/" + "a" * 5000)),
    "logger-missing": (
        INVALID, "log program DIR/no cannot be executed: No such file",
        lambda c: c.ask(stdout=f"binary://{c.directory}/no"),
    ),
    "logger-by-name": (
        INVALID, "log URI binary://logger names no", lambda c: c.ask(stdout="binary://logger"),
    ),
}  # fmt: skip

ROOTFS: Refusals = {
    "lowerdir-missing": (
        INTERNAL,
        "cannot mount overlay overlay at DIR/.*/rootfs: DIR/gone: No such file",
        lambda case: case.rootfs(overlay(f"/usr:{case.directory}/gone")),
    ),
    "many-lowerdirs-missing": (
        INTERNAL,
        "cannot mount overlay overlay at DIR/.*/rootfs: DIR/gone0: No such file",
        lambda c: c.rootfs(overlay(":".join(f"{c.directory}/gone{n}" for n in range(200)))),
    ),
    "unknown-overlay-option": (
        INTERNAL,
        "cannot mount overlay overlay at DIR/.*: Invalid argument",
        lambda case: case.rootfs(overlay("/usr:/tmp", "colour=blue")),
    ),
    "unknown-type": (
        INTERNAL,
        "cannot mount nosuchfs none at DIR/.*: No such device",
        lambda case: case.rootfs(types_pb2.Mount(type="nosuchfs", source="none")),
    ),
    "no-type": (
        INTERNAL,
        "cannot mount no type none at DIR/",
        lambda case: case.rootfs(types_pb2.Mount(source="none")),
    ),
    "bind-missing": (
        INTERNAL,
        "cannot mount bind DIR/gone at DIR/.*: No such file",
        lambda case: case.rootfs(bind_mount(case.directory / "gone")),
    ),
    "bind-file": (
        INTERNAL,
        "cannot mount bind /etc/passwd at DIR/.*: Not a directory",
        lambda case: case.rootfs(bind_mount(Path("/etc/passwd"))),
    ),
    "second-fails": (
        INVALID,
        "rootfs mount target '/gone' cannot be opened in the rootfs: No such file",
        lambda case: case.rootfs(
            *case.bundle.rootfs, types_pb2.Mount(type="tmpfs", source="tmpfs", target="/gone")
        ),
    ),
}

RUNTIME_OPTIONS: Refusals = {
    "broken-toml": (
        INVALID, "in the runtime options is not valid TOML", lambda case: case.toml("[linux"),
    ),
    "unknown-key": (INVALID, "has an unknown key 'colour'", lambda case: case.toml("colour = 1")),
    "no-file": (
        INVALID,
        r"configuration /gone\.toml does not exist",
        lambda c: c.options(options_pb2.Options(config_path="/gone.toml").SerializeToString()),
    ),
    "undecodable": (
        INVALID, "of type runtimeoptions.v1.Options cannot be", lambda case: case.options(b"\xff"),
    ),
    "undecodable-runc": (
        INVALID,
        "of type containerd.runc.v1.Options cannot be decoded",
        lambda case: case.options(b"\xff", "containerd.runc.v1.Options"),
    ),
    "no-runc": (
        INVALID,
        "OCI runtime /gone/runc cannot be executed: No such file",
        lambda case: case.linux_program("/bin/true", runtime="/gone/runc"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_wasm_image_is_refused(manager: ShimManager, name: str) -> None:
    check_refused(manager, *IMAGES[name])


@pytest.mark.parametrize("name", BUNDLES)
def test_wasm_bundle_is_refused(manager: ShimManager, name: str) -> None:
    check_refused(manager, *BUNDLES[name])


@pytest.mark.parametrize("name", STREAMS)
def test_wasm_stream_is_refused(manager: ShimManager, name: str) -> None:
    check_refused(manager, *STREAMS[name])


@pytest.mark.parametrize("name", ROOTFS)
def test_wasm_rootfs_is_refused(manager: ShimManager, name: str) -> None:
    check_refused(manager, *ROOTFS[name])


@pytest.mark.parametrize("name", RUNTIME_OPTIONS)
def test_wasm_runtime_options_are_refused(manager: ShimManager, name: str) -> None:
    check_refused(manager, *RUNTIME_OPTIONS[name])


def test_wasm_options_of_an_unknown_type_are_ignored(manager: ShimManager) -> None:
    group = manager.new_id()
    task, case = started(manager, group)
    case.options(b"\xff\xff", "acme.v9.Options")
    create(task, case, lambda good: good.write(GOOD))
    task.start()
    assert task.wait().exit_status == 0


def test_wasm_fifos_that_nobody_opens_hold_up_nobody(manager: ShimManager) -> None:
    group = manager.new_id()
    task, case = started(manager, group, ["/say.wasm", "out", "err"])
    names = ("stdin", "stdout", "stderr")
    for name in names:
        os.mkfifo(manager.directory / name)
    create(task, case, lambda c: c.ask(**{n: str(manager.directory / n) for n in names}))
    task.start()
    assert task.wait().exit_status == 0
    task.delete()
    check_still_serves(manager, group, task.connect().shim_pid)


def test_wasm_file_uri_of_a_fifo_holds_up_nobody(manager: ShimManager) -> None:
    group = manager.new_id()
    task, case = started(manager, group, ["/say.wasm", "out", "err"])
    os.mkfifo(manager.directory / "fifo")
    create(task, case, lambda c: c.ask(stdout=f"file://{manager.directory}/fifo"))
    task.start()
    assert task.wait().exit_status == 0
    task.delete()
    check_still_serves(manager, group, task.connect().shim_pid)


def test_wasm_bundle_of_4000_characters_works(manager: ShimManager) -> None:
    bundle = manager.bundle(["/hello.wasm"])
    deep = bundle.path
    while len(str(deep)) < 3798:
        deep /= "b" * 200
    deep /= "b" * (3999 - len(str(deep)))
    (deep / "rootfs").mkdir(parents=True)
    bundle.path = deep
    bundle.write_spec()
    assert len(str(deep)) == 4000
    task = manager.running(bundle)
    assert task.wait().exit_status == 0
    assert task.delete().exit_status == 0


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"annotations": 1}', b"\xff"])
def test_wasm_start_refuses_a_config_it_cannot_read(
    manager: ShimManager, content: bytes | None
) -> None:
    bundle = manager.bundle(["/hello.wasm"])
    config = bundle.path / "config.json"
    config.unlink()
    if content is not None:
        config.write_bytes(content)
    answer = manager.run_start(bundle)
    assert answer.status != 0
    assert "config.json" in answer.text
    assert "Traceback" not in answer.text
    assert wait_until(lambda: list(manager.directory.glob("**/address")) == [])
