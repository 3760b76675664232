"""What an entry point names, in images and volumes that wish us ill."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Mount, Process, Spec
from shim.pod.program import NotThere, WasmFile, find_wasm

MODULE = b"\0asm\1\0\0\0"
COMPONENT = b"\0asm\x0d\0\1\0"
TEXT = b";; a comment\n(module)"
ELF = b"\x7fELF\2\1\1"

Find = Callable[..., WasmFile | None]


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs"
    (path / "app").mkdir(parents=True)
    return path


@pytest.fixture
def find(rootfs: Path) -> Find:
    """Look an entry point up; what is found must be open, readable and closed again."""

    def look(
        *args: str,
        env: Sequence[str] = (),
        cwd: str = "/",
        mounts: Sequence[Mount] = (),
        annotations: dict[str, str] | None = None,
    ) -> WasmFile | None:
        process = Process(args=args, env=tuple(env), cwd=cwd)
        spec = Spec(process=process, mounts=tuple(mounts), annotations=annotations or {})
        before = len(os.listdir("/proc/self/fd"))
        try:
            wasm = find_wasm(spec, rootfs, "image-1")
            if isinstance(wasm, NotThere):
                # What is said where the image is no artifact.
                if wasm.problem:
                    raise InvalidArgumentError(wasm.problem)
                return None
            if wasm is not None:
                assert os.pread(wasm.fd, 4, 0)
                assert os.get_inheritable(wasm.fd) is False
                os.close(wasm.fd)
        finally:
            assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left"
        return wasm

    return look


@pytest.mark.parametrize("name", ["hello.wasm", "hello", "hello.sh", "hello.bin"])
@pytest.mark.parametrize("content", [MODULE, COMPONENT, TEXT])
def test_program_is_wasm_by_its_first_bytes(
    rootfs: Path, find: Find, name: str, content: bytes
) -> None:
    (rootfs / "app" / name).write_bytes(content)
    found = find(f"/app/{name}")
    assert found is not None
    assert (found.path, found.function) == (f"/app/{name}", None)


@pytest.mark.parametrize("name", ["prog", "prog.wasm", "prog.wat"])
@pytest.mark.parametrize("content", [ELF, b"#!/bin/sh\n(module)", b"#!"])
def test_program_of_linux_is_linux_whatever_its_name(
    rootfs: Path, find: Find, name: str, content: bytes
) -> None:
    (rootfs / name).write_bytes(content)
    assert find(f"/{name}") is None


@pytest.mark.parametrize("content", [b"", b"\0", b"\0asm", b"text", b"\0asm\1\0\7\0"])
def test_program_that_is_nothing_is_linuxs_business_unless_its_name_says_wasm(
    rootfs: Path, find: Find, content: bytes
) -> None:
    (rootfs / "prog").write_bytes(content)
    (rootfs / "prog.wasm").write_bytes(content)
    assert find("/prog") is None
    with pytest.raises(InvalidArgumentError, match=r"/prog\.wasm is not a Wasm file: it "):
        find("/prog.wasm")


def test_program_that_is_missing(find: Find) -> None:
    assert find("/missing") is None
    assert find("missing", env=["PATH=/bin:/usr/bin"]) is None
    with pytest.raises(InvalidArgumentError, match=r"/missing\.wasm is not in the image"):
        find("/missing.wasm")


def test_program_without_arguments_is_refused(find: Find) -> None:
    for args in ((), ("",)):
        with pytest.raises(InvalidArgumentError, match="args is empty"):
            find(*args)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_program_that_is_no_regular_file_is_none_and_blocks_nobody(
    rootfs: Path, find: Find, make: Callable[[Path], None]
) -> None:
    make(rootfs / "x.wasm")
    make(rootfs / "x")
    assert find("/x") is None
    with pytest.raises(InvalidArgumentError, match="names no regular file"):
        find("/x.wasm")


@pytest.mark.parametrize("args0", ["/", ".", "/app", "//", "/app/..", "x\0y", "/" + "a/" * 3000])
def test_program_with_an_odd_name_is_linuxs_business(find: Find, args0: str) -> None:
    assert find(args0) is None


@pytest.mark.parametrize(
    "target", ["real.wasm", "../app/real.wasm", "/app/real.wasm", "../../../../app/real.wasm"]
)
def test_program_behind_a_symlink_of_the_image(rootfs: Path, find: Find, target: str) -> None:
    (rootfs / "app" / "real.wasm").write_bytes(MODULE)
    (rootfs / "app" / "link").symlink_to(target)
    assert find("/app/link") is not None


@pytest.mark.parametrize("up", ["/", "../../../../../../../"])
@pytest.mark.parametrize("through", ["file", "directory"])
def test_program_never_comes_from_the_host(
    tmp_path: Path, rootfs: Path, find: Find, up: str, through: str
) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret.wasm").write_bytes(MODULE)
    target = up + str(host).lstrip("/")
    if through == "file":
        (rootfs / "x.wasm").symlink_to(f"{target}/secret.wasm")
        args0 = "/x.wasm"
    else:
        (rootfs / "dir").symlink_to(target)
        args0 = "/dir/secret.wasm"
    with pytest.raises(InvalidArgumentError, match="not in the image"):
        find(args0)
    with pytest.raises(InvalidArgumentError, match="not in the image"):
        find(f"../../..{host}/secret.wasm")


def test_program_does_not_follow_proc_or_loops(rootfs: Path, find: Find) -> None:
    (rootfs / "loop").symlink_to("loop")
    (rootfs / "self").symlink_to("/proc/self/exe")
    assert find("/loop") is None
    assert find("/self") is None


def test_program_relative_to_the_working_directory(rootfs: Path, find: Find) -> None:
    (rootfs / "app" / "x.wasm").write_bytes(MODULE)
    for args0 in ("x.wasm", "./x.wasm", "../app/x.wasm"):
        found = find(args0, cwd="/app")
        assert found is not None
        assert found.path == "/app/x.wasm"


def test_program_by_path_comes_before_the_working_directory(rootfs: Path, find: Find) -> None:
    for directory in ("first", "second"):
        (rootfs / directory).mkdir()
    (rootfs / "second" / "tool").write_bytes(MODULE)
    (rootfs / "app" / "tool").write_bytes(ELF)
    (rootfs / "first" / "tool").mkdir()
    found = find("tool", env=["HOME=/", "PATH=/none:/first:/second"], cwd="/app")
    assert found is not None
    assert found.path == "/second/tool"


def test_program_of_linux_first_in_path_wins(rootfs: Path, find: Find) -> None:
    for directory, content in (("first", ELF), ("second", MODULE)):
        (rootfs / directory).mkdir()
        (rootfs / directory / "tool").write_bytes(content)
    assert find("tool", env=["PATH=/first:/second"]) is None


def test_program_with_a_function(rootfs: Path, find: Find) -> None:
    (rootfs / "x").write_bytes(MODULE)
    found = find("/x#run")
    assert found is not None
    assert (found.path, found.function) == ("/x", "run")


@pytest.mark.parametrize("args0", ["#run", "/x#", "/missing#run"])
def test_program_with_half_a_function_is_refused(find: Find, args0: str) -> None:
    with pytest.raises(InvalidArgumentError, match="entry point"):
        find(args0)


ANNOTATIONS = [
    {"module.wasm.image/variant": "compat"},
    {"run.oci.handler": "wasm"},
]


@pytest.mark.parametrize("annotations", ANNOTATIONS)
def test_program_that_is_said_to_be_wasm_must_be(
    rootfs: Path, find: Find, annotations: dict[str, str]
) -> None:
    with pytest.raises(InvalidArgumentError, match="/x is not in the image"):
        find("/x", annotations=annotations)
    (rootfs / "x").write_bytes(b"text")
    with pytest.raises(InvalidArgumentError, match="begins with 74 65 78 74, not with 00 61"):
        find("/x", annotations=annotations)
    (rootfs / "x").write_bytes(MODULE)
    assert find("/x", annotations=annotations) is not None


@pytest.mark.parametrize("annotations", ANNOTATIONS)
def test_program_of_linux_in_a_pod_that_is_said_to_be_wasm_is_a_sidecar(
    rootfs: Path, find: Find, annotations: dict[str, str]
) -> None:
    (rootfs / "x").write_bytes(ELF)
    assert find("/x", annotations=annotations) is None


def test_program_of_a_pods_sandbox_is_linuxs_business(rootfs: Path, find: Find) -> None:
    (rootfs / "pause").write_bytes(MODULE)
    assert find("/pause", annotations={"io.kubernetes.cri.container-type": "sandbox"}) is None
    assert find("/pause", annotations={"io.kubernetes.cri.container-type": "container"})


def volume(source: Path, destination: str) -> Mount:
    return Mount(destination, "bind", str(source), ("rbind",))


def test_program_in_a_volume(tmp_path: Path, rootfs: Path, find: Find) -> None:
    (tmp_path / "vol" / "sub").mkdir(parents=True)
    (tmp_path / "vol" / "sub" / "x.wasm").write_bytes(MODULE)
    (rootfs / "app" / "sub").mkdir()
    (rootfs / "app" / "sub" / "x.wasm").write_bytes(ELF)
    for destination in ("/app", "/app/"):
        found = find("/app/sub/x.wasm", mounts=[volume(tmp_path / "vol", destination)])
        assert found is not None
    assert find("/app/sub/x.wasm", mounts=[volume(tmp_path / "vol", "/ap")]) is None


def test_program_that_is_a_volume_itself(tmp_path: Path, find: Find) -> None:
    (tmp_path / "one.wasm").write_bytes(MODULE)
    assert find("/app/x.wasm", mounts=[volume(tmp_path / "one.wasm", "/app/x.wasm")]) is not None


def test_program_in_the_last_of_stacked_volumes(tmp_path: Path, find: Find) -> None:
    for name, content in (("below", ELF), ("above", MODULE)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(content)
    below, above = (volume(tmp_path / name, "/data") for name in ("below", "above"))
    assert find("/data/x", mounts=[below, above]) is not None
    assert find("/data/x", mounts=[above, below]) is None


def test_program_never_leaves_its_volume(tmp_path: Path, rootfs: Path, find: Find) -> None:
    (tmp_path / "vol").mkdir()
    (tmp_path / "secret.wasm").write_bytes(MODULE)
    (rootfs / "secret.wasm").write_bytes(MODULE)
    (tmp_path / "vol" / "up.wasm").symlink_to("../secret.wasm")
    (tmp_path / "vol" / "abs.wasm").symlink_to(tmp_path / "secret.wasm")
    for name in ("up.wasm", "abs.wasm"):
        with pytest.raises(InvalidArgumentError, match="not in the image or a volume"):
            find(f"/data/{name}", mounts=[volume(tmp_path / "vol", "/data")])


def test_program_below_a_tmpfs_does_not_look_at_the_host(find: Find) -> None:
    assert find("/proc/x", mounts=[Mount("/proc", "proc", "proc")]) is None


def test_identity_tells_images_paths_and_volumes_apart(
    tmp_path: Path, rootfs: Path, find: Find
) -> None:
    (tmp_path / "vol").mkdir()
    names = [rootfs / "a", rootfs / "b", tmp_path / "vol" / "a"]
    for path in names:
        path.write_bytes(MODULE)
    found = [find("/a"), find("/b"), find("/v/a", mounts=[volume(tmp_path / "vol", "/v")])]
    identities = [wasm.identity for wasm in found if wasm is not None]
    assert len(set(identities)) == 3
    assert identities[0].startswith("image-1")
