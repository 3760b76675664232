import json
import os
from pathlib import Path
from typing import Any

import pytest

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.images.pack import Module, Settings, pack_artifact, pack_image, read_module, warnings
from shim.images.store import Store
from shim.images.tar_layer import Addition
from shim.oci.artifact import load_artifact
from shim.oci.descriptors import Descriptor
from tests.support import guests

EMPTY = b"\0asm\1\0\0\0"
ARTIFACT = "sha256:090d66d1b1222b4a1594b6062a0beb0a2cbccf3d5f795f48be7d5f9faa483543"
IMAGE = "sha256:1fa7cf9d3335d811ac3a73d8282f89bd826e550f33ab8bd7882309440e89f428"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


def documents(store: Store, target: Descriptor) -> tuple[dict[str, Any], dict[str, Any]]:
    manifest = json.loads(store.read(target))
    config = json.loads(store.path(manifest["config"]["digest"]).read_bytes())
    return manifest, config


def test_artifact_is_the_one_that_the_cncf_describes(store: Store) -> None:
    component = Module("app.wasm", guests.binary(guests.COMPONENT_HTTP))
    settings = Settings(annotations={"org.opencontainers.image.version": "1"})
    target = pack_artifact(store, [component], [], settings)
    manifest, config = documents(store, target)
    [layer] = manifest["layers"]
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.wasm.config.v0+json"
    assert manifest["annotations"] == {"org.opencontainers.image.version": "1"}
    assert layer["mediaType"] == "application/wasm"
    assert layer["annotations"] == {"org.opencontainers.image.title": "app.wasm"}
    assert store.path(layer["digest"]).read_bytes() == component.binary
    assert (config["architecture"], config["os"]) == ("wasm", "wasip2")
    assert config["layerDigests"] == [layer["digest"]]
    assert config["created"] == "1970-01-01T00:00:00Z"
    [export] = config["component"]["exports"]
    assert export.startswith("wasi:http/incoming-handler@0.2.")
    assert config["component"]["imports"] == []


def test_core_module_is_wasip1_and_has_no_component(store: Store) -> None:
    _, config = documents(store, pack_artifact(store, [Module("a.wasm", EMPTY)], [], Settings()))
    assert config["os"] == "wasip1"
    assert "component" not in config


def test_artifact_is_one_that_we_run(store: Store) -> None:
    modules = [Module("a.wasm", EMPTY), Module("b.wasm", guests.binary(guests.HELLO))]
    target = pack_artifact(store, modules, [Addition("/etc/x", b"x")], Settings())
    artifact = load_artifact(target, store.read)
    assert artifact
    assert [module.name for module in artifact.modules] == ["a.wasm", "b.wasm"]
    assert [layer.in_rootfs for layer in artifact.layers] == [False]


def test_same_input_has_the_same_digest_everywhere(store: Store, tmp_path: Path) -> None:
    """Golden: another digest is another image to everybody's caches and signatures."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "b").write_text("b")
    (directory / "a").write_text("a")
    modules = [Module("hello.wasm", EMPTY)]
    settings = Settings(annotations={"b": "2", "a": "1"}, created_s=0)
    found = []
    for number in range(2):
        os.utime(directory / "a", (number, number))
        other = Store(tmp_path / f"images-{number}")
        additions = [Addition("/data", directory)]
        found.append(
            (
                pack_artifact(other, modules, additions, settings).digest,
                pack_image(other, modules, additions, settings).digest,
            )
        )
    assert found == [(ARTIFACT, IMAGE)] * 2


def test_image_has_its_modules_as_files_and_an_entry_point(store: Store) -> None:
    settings = Settings(env=("A=1",), labels={"l": "2"}, created_s=1, platform="wasip1/wasm")
    target = pack_image(store, [Module("hello.wasm", EMPTY)], [], settings)
    manifest, config = documents(store, target)
    [layer] = manifest["layers"]
    assert manifest["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
    assert (config["os"], config["architecture"]) == ("wasip1", "wasm")
    assert config["created"] == "1970-01-01T00:00:01Z"
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer["digest"]]}
    assert config["config"] == {
        "Entrypoint": ["/hello.wasm"],
        "Env": ["A=1"],
        "Labels": {"l": "2"},
        "WorkingDir": "/",
    }


def test_image_of_several_modules_must_say_which_runs(store: Store) -> None:
    modules = [Module("a.wasm", EMPTY), Module("b.wasm", EMPTY)]
    with pytest.raises(InvalidArgumentError, match="--entrypoint"):
        pack_image(store, modules, [], Settings())
    target = pack_image(store, modules, [], Settings(entrypoint=("/b.wasm", "x")))
    assert documents(store, target)[1]["config"]["Entrypoint"] == ["/b.wasm", "x"]


@pytest.mark.parametrize("platform", ["linux", "/amd64", "linux/", "linux/arm/v7", ""])
def test_platform_must_be_one(store: Store, platform: str) -> None:
    with pytest.raises(InvalidArgumentError, match="SYSTEM/PROCESSOR"):
        pack_image(store, [Module("a.wasm", EMPTY)], [], Settings(platform=platform))


@pytest.mark.parametrize(
    "settings", [Settings(entrypoint=("/a",)), Settings(env=("A=1",)), Settings(labels={"a": "b"})]
)
def test_artifact_has_no_place_for_what_images_say(store: Store, settings: Settings) -> None:
    with pytest.raises(UnimplementedError, match="--compat"):
        pack_artifact(store, [Module("a.wasm", EMPTY)], [], settings)


@pytest.mark.parametrize(
    ("modules", "expected"),
    [([], "nothing to pack"), ([Module("a.wasm", EMPTY)] * 2, "two modules are called a.wasm")],
)
def test_modules_must_have_names_of_their_own(
    store: Store, modules: list[Module], expected: str
) -> None:
    for pack in (pack_artifact, pack_image):
        with pytest.raises(InvalidArgumentError, match=expected):
            pack(store, modules, [], Settings())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\x7fELF\2\1\1", "native code.*never taken"),
        (b"(module)", "text format"),
        (b"#!/bin/sh", "no Wasm"),
        (b"", "no Wasm"),
    ],
)
def test_what_is_no_binary_of_wasm_is_refused(
    tmp_path: Path, content: bytes, expected: str
) -> None:
    path = tmp_path / "a.wasm"
    path.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match=expected):
        read_module(path)


def test_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"nowhere\.wasm cannot be read"):
        read_module(tmp_path / "nowhere.wasm")


def test_wasi_0_3_is_packed_with_a_warning() -> None:
    later = guests.binary(guests.COMPONENT_HTTP.replace("@0.2.0", "@0.3.0"))
    assert "@0.3.0" in warnings([Module("a.wasm", later)])[0]
    assert warnings([Module("a.wasm", guests.binary(guests.COMPONENT_HTTP))]) == []
