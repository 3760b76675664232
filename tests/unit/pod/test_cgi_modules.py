"""A container whose entry point is a modules.toml: what it finds, and which mistakes it names."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shim.errdefs import InvalidArgumentError
from shim.oci.modules import CgiModule
from shim.pod.cgi import CgiProgram, CgiPrograms
from shim.pod.cgi_modules import ModulesFile, find_modules_file, what_runs
from shim.pod.container_request import ContainerRequest
from shim.pod.program import NotThere, WasmFile, find_wasm, has_modules_file
from tests.unit.pod.bundles import CONFIG, container_of, write_bundle

TABLE = """
[[module]]
route = "/..."
module = "app.wasm"
[[module]]
route = "/b"
module = "/other.wasm"
entrypoint = "go"
[[module]]
route = "/c"
module = "app.wasm"
argv = "c"
environment = { C = "d" }
"""


def container(
    tmp_path: Path,
    table: str | None = TABLE,
    args: Sequence[str] = ("/modules.toml",),
    **members: Any,
) -> ContainerRequest:
    process = CONFIG["process"] | {"args": list(args), "cwd": members.pop("cwd", "/")}
    bundle = write_bundle(tmp_path, process=process, **members)
    if table is not None:
        (bundle / "rootfs" / "modules.toml").write_text(table)
    return container_of(bundle)


def found(made: ContainerRequest) -> ModulesFile:
    assert has_modules_file(made.spec)
    file = find_modules_file(made.spec, made.rootfs)
    assert file is not None
    return file


def runs(made: ContainerRequest) -> CgiPrograms:
    """What it runs; its files are open, and closed again."""
    before = len(os.listdir("/proc/self/fd"))
    try:
        with ExitStack() as opened:
            running = what_runs(made, found(made), known, opened)
            assert isinstance(running, CgiPrograms)
            for module in running.modules:
                assert isinstance(module, WasmFile)
                assert os.pread(module.fd, 4, 0) == b"\0asm"
            return running
    finally:
        assert len(os.listdir("/proc/self/fd")) == before, "a descriptor is left"


def known(file: WasmFile) -> WasmFile:
    return replace(file, ask_image=lambda: "sha256:0") if file.is_in_image else file


def test_every_module_is_opened_once(tmp_path: Path) -> None:
    running = runs(container(tmp_path))
    files = [module for module in running.modules if isinstance(module, WasmFile)]
    assert [file.path for file in files] == ["/app.wasm", "/other.wasm"]
    assert all(file.ask_image is not None for file in files)
    assert files[1].name == "/modules.toml: route /b: module /other.wasm"
    assert [replace(each, route=each.route) for each in running.programs] == [
        CgiProgram(0, running.programs[0].route, None),
        CgiProgram(1, running.programs[1].route, "go"),
        CgiProgram(0, running.programs[2].route, None, ("c",), ("C=d",)),
    ]
    assert [each.route.text for each in running.programs] == ["/...", "/b", "/c"]
    assert running.is_table


def test_working_directory_is_where_paths_begin(tmp_path: Path) -> None:
    made = container(tmp_path, None, ["modules.toml"], cwd="/srv")
    (made.rootfs / "srv").mkdir()
    (made.rootfs / "srv" / "modules.toml").write_text(TABLE)
    (made.rootfs / "srv" / "app.wasm").write_bytes(b"\0asm\1\0\0\0")
    assert [getattr(each, "path", "") for each in runs(made).modules] == [
        "/srv/app.wasm",
        "/other.wasm",
    ]


def test_volume_has_the_table(tmp_path: Path) -> None:
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "routes.toml").write_text(TABLE)
    mount = {
        "destination": "/etc/routes",
        "source": os.fspath(tmp_path / "routes"),
        "options": ["bind"],
    }
    made = container(tmp_path, None, ["/etc/routes/routes.toml"], mounts=[mount])
    assert found(made).path == "/etc/routes/routes.toml"
    assert len(runs(made).modules) == 2


def test_table_of_one(tmp_path: Path) -> None:
    made = container(tmp_path, '[[module]]\nroute = "/a"\nmodule = "/app.wasm"')
    assert found(made) == ModulesFile("/modules.toml", (CgiModule("/a", "/app.wasm"),))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("/none.wasm", "route /a: module /none.wasm is not in the image or a volume"),
        ("/folder", "route /a: module /folder is not in the image or a volume"),
        ("/out.wasm", "route /a: module /out.wasm is not in the image or a volume"),
        ("/script", "route /a: module /script is not a Wasm file: it begins with 23 21"),
        ("/empty", "route /a: module /empty is not a Wasm file: it is empty"),
        ("/modules.toml", "route /a: module /modules.toml is not a Wasm file"),
    ],
)
def test_modules_that_are_none(tmp_path: Path, module: str, words: str) -> None:
    good = '[[module]]\nroute = "/b"\nmodule = "app.wasm"\n'
    made = container(tmp_path, f'{good}[[module]]\nroute = "/a"\nmodule = "{module}"')
    (tmp_path / "secret.wasm").write_bytes(b"\0asm\1\0\0\0")
    (made.rootfs / "out.wasm").symlink_to(tmp_path / "secret.wasm")
    (made.rootfs / "folder").mkdir()
    (made.rootfs / "empty").touch()
    with pytest.raises(InvalidArgumentError) as raised:
        runs(made)
    assert str(raised.value).startswith("/modules.toml: ")
    assert words in str(raised.value)


def test_table_that_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^/modules\.toml has no \[\[module\]\]"):
        found(container(tmp_path, ""))


def test_function_of_a_table(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"/modules\.toml#go names a function of a table"
    ):
        found(container(tmp_path, args=["/modules.toml#go"]))


@pytest.mark.parametrize("head", ["#!/bin/sh\n", "\x7fELF"])
def test_linux_program_of_that_name_is_one(tmp_path: Path, head: str) -> None:
    made = container(tmp_path, head)
    assert find_modules_file(made.spec, made.rootfs) is None
    assert find_wasm(made.spec, made.rootfs, "i") is None


def test_table_that_is_not_there_is_missed(tmp_path: Path) -> None:
    made = container(tmp_path, None)
    assert find_modules_file(made.spec, made.rootfs) is None
    missing = find_wasm(made.spec, made.rootfs, "i")
    assert isinstance(missing, NotThere)
    assert missing.problem.startswith("entry point /modules.toml is not in the image or a volume")


def test_without_a_table_the_annotation_says_it(tmp_path: Path) -> None:
    file = WasmFile(3, "/app.wasm", "i", "go", is_in_image=True)
    annotations = {"io.containerd.tandem.v1/cgi": "/a"}
    with ExitStack() as opened:
        once = container(tmp_path / "once", args=["/app.wasm#go"])
        assert what_runs(once, file, known, opened) is file
        each = container(tmp_path / "each", args=["/app.wasm#go"], annotations=annotations)
        running = what_runs(each, file, known, opened)
    assert isinstance(running, CgiPrograms)
    assert running == CgiPrograms(
        (file,), (CgiProgram(0, running.programs[0].route, "go"),), is_table=False
    )
    assert running.programs[0].route.text == "/a"
