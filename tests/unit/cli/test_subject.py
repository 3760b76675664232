import gzip
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard

from shim.cli.subject import Form, Subject, load_image, load_subject
from shim.errdefs import InvalidArgumentError, NotFoundError
from shim.images.documents import encode
from shim.images.pack import Module, Settings, pack_artifact, pack_image
from shim.images.reference import parse_reference
from shim.images.store import Store
from shim.oci.descriptors import Descriptor
from shim.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_TAR

WASM = b"\0asm\1\0\0\0"
NAME = "registry.example/a:1"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


def layer(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    output = BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return output.getvalue()


def image(store: Store, *layers: bytes, **process: Any) -> Subject:
    def blob(data: bytes, media_type: str) -> dict[str, object]:
        return {"mediaType": media_type, "digest": store.add(data), "size": len(data)}

    config = encode({"os": "linux", "architecture": "amd64", "config": process})
    described = [blob(each, OCI_TAR) for each in layers]
    manifest = encode({"config": blob(config, OCI_CONFIG), "layers": described})
    target = Descriptor(OCI_MANIFEST, store.add(manifest), len(manifest))
    return load_image(store, NAME, target)


def test_entry_point_is_found_in_the_topmost_layer(store: Store) -> None:
    lower, upper = layer({"app.wasm": b"lower"}), layer({"./app.wasm": WASM, "x": b""})
    found = image(store, lower, gzip.compress(upper), layer({"y": b""}), Entrypoint=["/app.wasm"])
    assert (found.form, found.problem) == (Form.IMAGE, "")
    assert [module.binary for module in found.modules] == [WASM]


def test_function_behind_the_entry_point_is_no_part_of_the_name(store: Store) -> None:
    found = image(store, layer({"bin/app": WASM}), Cmd=["bin/app#main", "x"])
    assert found.modules[0].name == "/bin/app"


@pytest.mark.parametrize(
    ("files", "links", "process", "problem"),
    [
        ({"sh": b"\x7fELF"}, {}, {"Entrypoint": ["/sh"]}, "a Linux container"),
        ({}, {}, {"Entrypoint": ["/sh"]}, "in no layer of the image"),
        ({"x": WASM}, {"sh": "x"}, {"Entrypoint": ["/sh"]}, "is a link"),
        ({"x": WASM}, {}, {}, "no entry point"),
    ],
)
def test_image_without_a_module_says_why(
    store: Store,
    files: dict[str, bytes],
    links: dict[str, str],
    process: dict[str, Any],
    problem: str,
) -> None:
    found = image(store, layer(files, links), **process)
    assert found.modules == ()
    assert problem in found.problem


def test_zstd_is_understood(store: Store) -> None:
    packed = zstandard.ZstdCompressor().compress(layer({"x": WASM}))
    assert image(store, packed, Entrypoint=["/x"]).modules[0].binary == WASM


def test_broken_layer_is_an_error(store: Store) -> None:
    with pytest.raises(InvalidArgumentError):
        image(store, b"\x1f\x8b broken", Entrypoint=["/x"])


def test_artifact_has_its_modules(store: Store) -> None:
    target = pack_artifact(store, [Module("a.wasm", WASM)], [], Settings())
    store.tag(parse_reference(NAME), target)
    found = load_subject(NAME, lambda: store)
    assert (found.form, found.packing, found.digest) == (Form.ARTIFACT, "cncf", target.digest)
    assert [module.name for module in found.modules] == ["a.wasm"]
    assert (found.config.os, found.config.architecture) == ("wasip1", "wasm")


def test_index_is_followed(store: Store) -> None:
    target = pack_image(store, [Module("a.wasm", WASM)], [], Settings())
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": target.digest,
        "size": target.size,
        "platform": {"os": "wasip1", "architecture": "wasm"},
    }
    index = encode({"schemaVersion": 2, "manifests": [entry]})
    found = load_image(store, NAME, Descriptor(OCI_INDEX, store.add(index), len(index)))
    assert found.digest == target.digest
    entry["platform"] = {"os": "plan9", "architecture": "mips"}
    index = encode({"schemaVersion": 2, "manifests": [entry]})
    with pytest.raises(NotFoundError, match="none for this machine"):
        load_image(store, NAME, Descriptor(OCI_INDEX, store.add(index), len(index)))


def test_directory_has_the_modules_at_its_top(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "app"
    (directory / "sub").mkdir(parents=True)
    (directory / "b").write_bytes(WASM)
    (directory / "a.wat").write_text("(module)")
    (directory / "readme").write_text("x")
    found = load_subject(str(directory), lambda: store)
    assert (found.form, [module.name for module in found.modules]) == (
        Form.DIRECTORY,
        ["a.wat", "b"],
    )
    assert "no file" in load_subject(str(directory / "sub"), lambda: store).problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [(WASM, ""), (b"\x7fELF", "native code"), (b"#!", "no Wasm"), (b"", "no Wasm")],
)
def test_file_is_what_it_begins_with(
    store: Store, tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    found = load_subject(str(path), lambda: store)
    assert problem in found.problem
    assert bool(found.modules) is not bool(problem)


def test_layout_must_hold_one_image(store: Store) -> None:
    with pytest.raises(InvalidArgumentError, match="none"):
        load_subject(str(store.directory), lambda: store)
    target = pack_image(store, [Module("a.wasm", WASM)], [], Settings())
    store.tag(parse_reference(NAME), target)
    assert load_subject(str(store.directory), lambda: store).digest == target.digest
    store.tag(parse_reference("registry.example/b:1"), target)
    with pytest.raises(InvalidArgumentError, match=r"a:1, registry\.example/b:1"):
        load_subject(str(store.directory), lambda: store)


@pytest.mark.parametrize("text", ["/nowhere", "./nowhere", "../nowhere"])
def test_path_that_is_not_there_is_no_image(store: Store, text: str) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        load_subject(text, lambda: store)
