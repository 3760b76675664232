"""The file that an image runs, found in its layers, or left to the first start."""

import gzip
import json
import platform
from collections.abc import Mapping, Sequence

import pytest

from shim.content.rootfs import Program, extract, find_program, programs_of
from shim.errdefs import InvalidArgumentError, NotFoundError, ResourceExhaustedError, ShimError
from shim.oci.descriptors import Descriptor
from shim.oci.media_types import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, OCI_TAR
from tests.unit.unpack import archives
from tests.unit.unpack.archives import Entry, directory, file, hardlink, symlink, tar

WASM = b"\0asm\1\0\0\0"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


class Store(archives.Store):
    """Documents, too."""

    def read(self, descriptor: Descriptor) -> bytes:
        if descriptor.digest not in self.blobs:
            raise NotFoundError(descriptor.digest)
        return self.blobs[descriptor.digest]

    def document(self, media_type: str, document: object) -> Descriptor:
        return self.add(json.dumps(document).encode(), media_type)

    def image(
        self,
        *layers: bytes,
        process: Mapping[str, object] | None = None,
        os: str = "linux",
        architecture: str = MACHINE,
    ) -> Descriptor:
        process = process or {"Entrypoint": ["/app.wasm"]}
        config = {"os": os, "architecture": architecture, "config": process}
        manifest = {
            "schemaVersion": 2,
            "config": member(self.document(OCI_CONFIG, config)),
            "layers": [member(self.add(layer, OCI_TAR)) for layer in layers],
        }
        return self.document(OCI_MANIFEST, manifest)

    def index(self, **entries: Descriptor) -> Descriptor:
        """Of entries by their platform, `os_architecture`."""
        manifests = [
            member(entry)
            | {"platform": {"os": name.split("_")[0], "architecture": name.split("_")[1]}}
            for name, entry in entries.items()
        ]
        return self.document(OCI_INDEX, {"schemaVersion": 2, "manifests": manifests})

    def found(self, target: Descriptor, max_bytes: int = 1 << 20) -> bytes:
        program = find_program(target, self.read)
        assert program is not None
        try:
            return extract(program, self.open_blob, max_bytes)
        finally:
            assert self.open == 0


def member(descriptor: Descriptor) -> dict[str, object]:
    return {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }


@pytest.mark.parametrize(
    ("process", "path"),
    [
        ({"Entrypoint": ["/modules.toml"]}, "modules.toml"),
        ({"Entrypoint": ["/app.wasm", "x"]}, "app.wasm"),
        ({"Cmd": ["/app.wat"]}, "app.wat"),
        ({"Entrypoint": ["/a/app.wasm#run"]}, "a/app.wasm"),
        ({"Entrypoint": ["app.wasm"], "WorkingDir": "/srv"}, "srv/app.wasm"),
        ({"Entrypoint": ["../../app.wasm"], "WorkingDir": "/srv"}, "app.wasm"),
        ({"Entrypoint": ["/bin/sh"]}, None),
        ({"Entrypoint": [""]}, None),
        ({"Env": ["A=b"]}, None),
    ],
)
def test_program_is_what_the_config_names(process: dict[str, object], path: str | None) -> None:
    store = Store()
    target = store.image(process=process)
    folder = str(process.get("WorkingDir", "")).strip("/")
    expected = Program(target.digest, (), path, folder) if path else None
    assert find_program(target, store.read) == expected


def test_any_name_will_do_where_the_platform_is_wasm() -> None:
    store = Store()
    process = {"Entrypoint": ["/app"]}
    target = store.image(process=process, os="wasip1", architecture="wasm")
    assert find_program(target, store.read) == Program(target.digest, (), "app")


def test_index_leads_to_wasm_and_else_to_this_machine() -> None:
    store = Store()
    linux, other = store.image(tar([file("a")])), store.image(tar([file("b")]))
    wasm = store.image(architecture="wasm", os="wasi")
    entries = {f"linux_{MACHINE}": linux, "linux_other": other}
    program = find_program(store.index(**entries), store.read)
    assert program is not None
    assert program.digest == linux.digest
    program = find_program(store.index(**entries, wasi_wasm=wasm), store.read)
    assert program is not None
    assert program.digest == wasm.digest
    assert find_program(store.index(linux_other=other), store.read) is None


@pytest.mark.parametrize(
    "layers",
    [
        [[file("app.wasm", WASM)]],
        [[file("./app.wasm", WASM)]],
        [[file("/app.wasm", WASM), file("b")]],
        [[file("app.wasm", b"old")], [file("app.wasm", WASM)]],
        [[file("app.wasm", WASM)], [file("b"), directory("etc"), symlink("l", "app.wasm")]],
        [[file("app.wasm", b"old"), file("app.wasm", WASM)]],
        [[file("app.wasm", b"old")], [file(".wh.app.wasm", b"")], [file("app.wasm", WASM)]],
        [[file("app.wasm", WASM)], [file(".wh.b", b"")]],
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_file_is_the_topmost(layers: Sequence[Sequence[Entry]], zipped: bool) -> None:
    store = Store()
    blobs = [gzip.compress(tar(layer)) if zipped else tar(layer) for layer in layers]
    assert store.found(store.image(*blobs)) == WASM


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        ([], "in no layer"),
        ([[file("b")]], "in no layer"),
        ([[directory("app.wasm")]], "in no layer"),
        ([[symlink("app.wasm", "b"), file("b", WASM)]], "is a link"),
        ([[file("b", WASM), hardlink("app.wasm", "b")]], "is a link"),
        ([[file("app.wasm", WASM)], [file(".wh.app.wasm", b"")]], "is removed"),
        ([[file("app.wasm", WASM)], [file(".wh..wh..opq", b"")]], "is removed"),
    ],
)
def test_what_is_cleverer_is_left_to_the_first_start(
    layers: Sequence[Sequence[Entry]], why: str
) -> None:
    store = Store()
    with pytest.raises(NotFoundError, match=f"/app.wasm.*{why}"):
        store.found(store.image(*map(tar, layers)))


@pytest.mark.parametrize(
    "upper", [[symlink("a", "b")], [file(".wh.a", b"")], [file("a/.wh..wh..opq", b"")]]
)
def test_folders_on_the_way_may_hide_it_too(upper: Sequence[Entry]) -> None:
    store = Store()
    process = {"Entrypoint": ["/a/b/app.wasm"]}
    lower = tar([file("a/b/app.wasm", WASM)])
    assert store.found(store.image(lower, tar([file("c")]), process=process)) == WASM
    with pytest.raises(NotFoundError):
        store.found(store.image(lower, tar(upper), process=process))


def test_layer_that_is_not_what_its_digest_says_is_refused() -> None:
    store = Store()
    layer = tar([file("app.wasm", WASM)])
    target = store.image(layer)
    digest = next(digest for digest, blob in store.blobs.items() if blob == layer)
    store.blobs[digest] = layer.replace(WASM, WASM[:-1] + b"\1")
    with pytest.raises(InvalidArgumentError, match="not what its digest says"):
        store.found(target)


def test_file_larger_than_the_limit_is_not_read() -> None:
    store = Store()
    with pytest.raises(ResourceExhaustedError, match="has 8 bytes"):
        store.found(store.image(tar([file("app.wasm", WASM)])), max_bytes=7)


def test_missing_blobs_and_broken_layers_are_errors_of_ours() -> None:
    store = Store()
    target = store.image(b"no tar at all" * 100)
    with pytest.raises(ShimError):
        store.found(target)
    store.blobs = {target.digest: store.blobs[target.digest]}
    with pytest.raises(NotFoundError):
        find_program(target, store.read)


TABLE = b"""
[[module]]
route = "/a"
module = "a.wasm"
[[module]]
route = "/b"
module = "/bin/b.wasm"
[[module]]
route = "/c"
module = "file:///srv/a.wasm"
"""


def test_table_names_its_files_once() -> None:
    store = Store()
    process = {"Entrypoint": ["modules.toml"], "WorkingDir": "/srv"}
    files = [file("srv/modules.toml", TABLE), file("srv/a.wasm", WASM)]
    program = find_program(store.image(tar(files), process=process), store.read)
    assert program is not None
    assert program.is_table
    found = programs_of(program, store.open_blob)
    assert [each.path for each in found] == ["srv/a.wasm", "bin/b.wasm"]
    assert extract(found[0], store.open_blob, 100) == WASM
    with pytest.raises(NotFoundError, match=r"^/bin/b\.wasm is in no layer"):
        extract(found[1], store.open_blob, 100)


def test_table_that_is_none_is_named() -> None:
    store = Store()
    process = {"Entrypoint": ["/modules.toml"]}
    program = find_program(
        store.image(tar([file("modules.toml", b"")]), process=process), store.read
    )
    assert program is not None
    with pytest.raises(InvalidArgumentError, match=r"modules\.toml has no \[\[module\]\]"):
        programs_of(program, store.open_blob)
