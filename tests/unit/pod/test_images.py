"""A container whose image is its module: as the image completes it, and what is executed in it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from shim.aot.cache import Cache
from shim.content.source import ImageSource, Origin, Resolved, Target
from shim.errdefs import UnimplementedError
from shim.oci.artifact import Artifact, File, Module
from shim.oci.choose import Choice
from shim.oci.descriptors import Descriptor
from shim.oci.layers import Packing
from shim.oci.spec import Process, Spec
from shim.oci.spin import Trigger
from shim.pod.images import WasmImage, chooses_module
from tests.unit.pod.bundles import container_of, write_bundle

FILES = (File("motto.txt", "sha256:" + "9" * 64, content=b"two under one yoke"),)


def module(name: str, number: int, **more: Any) -> Module:
    return Module(Descriptor("application/wasm", f"sha256:{number:064}", 8), name, **more)


def image(tmp_path: Path, *modules: Module, function: str | None = None) -> WasmImage:
    """An image whose first module was chosen."""
    config = Descriptor("application/vnd.wasm.config.v0+json", "sha256:" + "d" * 64, 2)
    artifact = Artifact("sha256:" + "f" * 64, Packing.CNCF, config, modules)
    choice = Choice(modules[0], function, ("app", "x"), ("MODE=image",))
    target = Target("localhost/a:1", Descriptor("t", "sha256:" + "e" * 64, 1))
    cache = Cache(tmp_path / "cache", 1 << 30, "key")
    origin = Origin("/run/c.sock", "n", "c")
    source = ImageSource(origin, lambda _: choice, cache, target)
    return WasmImage(origin, source, Resolved(target, artifact, choice), cache)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, False),
        ({"io.containerd.tandem.v1/module": ""}, False),
        ({"io.containerd.tandem.v1/module": "a"}, True),
        (
            {
                "io.containerd.tandem.v1/module": "a",
                "io.kubernetes.cri.container-type": "sandbox",
            },
            False,
        ),
    ],
)
def test_annotation_chooses(annotations: Mapping[str, str], expected: bool) -> None:
    assert chooses_module(Spec(annotations=annotations)) is expected


def test_image_completes_the_process(tmp_path: Path) -> None:
    process = image(tmp_path, module("app", 1)).process(Process(args=("/",), env=("A=1",)))
    assert process.args == ("app", "x")
    assert process.env == ("A=1", "MODE=image")


@pytest.mark.parametrize(("files", "is_readonly"), [((), False), (FILES, True)])
def test_root_is_read_only_where_the_image_brings_files(
    tmp_path: Path, files: tuple[File, ...], is_readonly: bool
) -> None:
    container = container_of(write_bundle(tmp_path))
    made = image(tmp_path, module("app", 1, files=files)).container(container)
    assert made.spec.root_readonly is is_readonly
    assert made.spec.process.args == ("app", "x")
    readonly = replace(container, spec=replace(container.spec, root_readonly=True))
    assert image(tmp_path, module("app", 1)).container(readonly).spec.root_readonly


def test_no_files_need_no_mount(tmp_path: Path) -> None:
    container = container_of(write_bundle(tmp_path))
    with image(tmp_path, module("app", 1)).files(container):
        assert not (tmp_path / "tandem-overlay").exists()


def test_function_of_the_containers_own_module_is_executed(tmp_path: Path) -> None:
    own = module("app", 1, env=("MODE=image", "A=2"))
    process = Process(args=("#greet", "x"), env=("A=1",))
    made = image(tmp_path, own, module("b", 2), function="other").executing(process)
    assert made is not None
    assert made.function == "greet"
    assert made.resolved.choice.module == own
    assert made.process(process).args == ("#greet", "x")
    assert made.process(process).env == ("A=1", "MODE=image")


@pytest.mark.parametrize(
    ("args0", "name", "function"),
    [
        ("b", "b.wasm", None),
        ("b.wasm", "b.wasm", None),
        ("/b.wasm#run", "b.wasm", "run"),
        ("app", "app", None),
        (f"sha256:{2:064}", "b.wasm", None),
    ],
)
def test_module_of_the_image_is_executed_by_its_name(
    tmp_path: Path, args0: str, name: str, function: str | None
) -> None:
    of = image(tmp_path, module("app", 1), module("b.wasm", 2))
    made = of.executing(Process(args=(args0, "x")))
    assert made is not None
    assert (made.resolved.choice.module.name, made.function) == (name, function)
    assert made.process(Process(args=(args0, "x"))).args == (args0, "x")
    # The loader that may have to compile it chooses the same.
    chosen = cast("ImageSource", made.source)._choose(of.resolved.artifact)
    assert chosen == made.resolved.choice


@pytest.mark.parametrize("args0", ["sh", "/bin/sh", "c.wasm", "/"])
def test_what_is_no_module_of_the_image_is_not_executed(tmp_path: Path, args0: str) -> None:
    for modules in ([module("app", 1)], [module("app", 1), module("b", 2)]):
        assert image(tmp_path, *modules).executing(Process(args=(args0,))) is None


def test_component_of_another_trigger_is_refused(tmp_path: Path) -> None:
    redis = module("b", 2, triggers=(Trigger("t", "redis", "b"),))
    with pytest.raises(UnimplementedError, match="redis"):
        image(tmp_path, module("app", 1), redis).executing(Process(args=("b",)))
