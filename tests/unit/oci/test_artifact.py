"""Every packing that people use, and what it comes down to."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, NotFoundError, ShimError
from shim.oci.artifact import MAX_LAYERS, MAX_TITLE, MAX_TOTAL_BYTES, Artifact, load_artifact
from shim.oci.descriptors import Descriptor
from shim.oci.layers import Packing
from tests.unit.oci.artifacts import (
    CNCF_CONFIG,
    EMPTY_CONFIG,
    OCI_CONFIG,
    OCI_TAR,
    SPIN_APPLICATION,
    SPIN_ARCHIVE,
    SPIN_DATA,
    SPIN_WASM,
    WASM,
    Documents,
    Json,
    application,
    component,
    digest_of,
    http_trigger,
    layer,
    manifest,
)

GZIP_TAR = f"{OCI_TAR}+gzip"
RUNWASI = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
WASM_TO_OCI = "application/vnd.wasm.config.v1+json"


def load(document: Json) -> Artifact | None:
    documents = Documents()
    return load_artifact(documents.target(document), documents.read)


def loaded(document: Json) -> Artifact:
    artifact = load(document)
    assert artifact is not None
    return artifact


@pytest.mark.parametrize(
    ("config", "layers", "packing", "names"),
    [
        (CNCF_CONFIG, [layer(WASM)], Packing.CNCF, [""]),
        (WASM_TO_OCI, [layer(SPIN_WASM)], Packing.CNCF, [""]),
        (
            "application/vnd.module.wasm.config.v1+json",
            [layer("application/vnd.module.wasm.content.layer.v1+wasm")],
            Packing.CNCF,
            [""],
        ),
        (OCI_CONFIG, [layer(WASM, title="app.wasm")], Packing.IMAGE, ["app.wasm"]),
        (OCI_CONFIG, [layer(RUNWASI)], Packing.IMAGE, [""]),
        (DOCKER_CONFIG, [layer(SPIN_WASM)], Packing.IMAGE, [""]),
        (OCI_CONFIG, [layer("Application/WASM; v=1")], Packing.IMAGE, [""]),
        (EMPTY_CONFIG, [layer(WASM, title="a.wasm")], Packing.PLAIN, ["a.wasm"]),
        (EMPTY_CONFIG, [layer(OCI_TAR, title="a.wasm")], Packing.PLAIN, ["a.wasm"]),
        (
            "application/vnd.unknown.config.v1+json",
            [layer("application/octet-stream", title="a.wat")],
            Packing.PLAIN,
            ["a.wat"],
        ),
        (CNCF_CONFIG, [layer(WASM, "1"), layer(WASM, "2", "b")], Packing.CNCF, ["", "b"]),
        (CNCF_CONFIG, [layer(WASM), layer(WASM)], Packing.CNCF, [""]),
    ],
)
def test_modules_of_every_packing(
    config: str, layers: list[Json], packing: Packing, names: list[str]
) -> None:
    artifact = loaded(manifest(config, layers))
    assert artifact.packing is packing
    assert [module.name for module in artifact.modules] == names
    assert artifact.modules[0].descriptor.digest == layers[0]["digest"]
    assert (artifact.files, artifact.layers, artifact.archives) == ((), (), ())
    assert artifact.config.media_type == config


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (OCI_CONFIG, [layer(GZIP_TAR)]),
        (DOCKER_CONFIG, [layer("application/vnd.docker.image.rootfs.diff.tar.gzip")]),
        (OCI_CONFIG, []),
        (OCI_CONFIG, [layer(OCI_TAR, title="app.wasm")]),
        ("application/vnd.cncf.helm.config.v1+json", [layer("application/tar+gzip")]),
        (OCI_CONFIG, [layer(GZIP_TAR, str(number)) for number in range(MAX_LAYERS + 1)]),
    ],
)
def test_image_without_wasm_is_an_ordinary_one(config: str, layers: list[Json]) -> None:
    assert load(manifest(config, layers)) is None


@pytest.mark.parametrize("layers", [[], [layer(GZIP_TAR)]])
def test_wasm_config_without_a_module_is_refused(layers: list[Json]) -> None:
    with pytest.raises(InvalidArgumentError, match="has a Wasm config, and no layer that is"):
        load(manifest(CNCF_CONFIG, layers))


@pytest.mark.parametrize(
    ("config", "media_type", "title", "in_rootfs"),
    [
        (CNCF_CONFIG, GZIP_TAR, "", False),
        (CNCF_CONFIG, f"{OCI_TAR}+zstd", "", False),
        (CNCF_CONFIG, OCI_TAR, "site.tar", False),
        (CNCF_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip", "", False),
        (CNCF_CONFIG, SPIN_ARCHIVE, "", False),
        (EMPTY_CONFIG, OCI_TAR, "site.tar", False),
        (OCI_CONFIG, GZIP_TAR, "", True),
        (DOCKER_CONFIG, "application/vnd.docker.image.rootfs.diff.tar.gzip", "", True),
        (OCI_CONFIG, "application/tar+gzip", "", False),
    ],
)
def test_tars_are_unpacked_by_whoever_containerd_leaves_them_to(
    config: str, media_type: str, title: str, in_rootfs: bool
) -> None:
    document = manifest(config, [layer(WASM, "app"), layer(media_type, "tar", title)])
    artifact = loaded(document)
    assert [each.in_rootfs for each in artifact.layers] == [in_rootfs]
    (module,) = artifact.modules
    contents = artifact.contents(module, with_rootfs=False)
    assert contents.is_empty is in_rootfs
    whole = artifact.contents(module, with_rootfs=True)
    assert [each.digest for each in whole.layers] == [digest_of(b"tar")]


def test_directory_of_oras_is_a_tar() -> None:
    entry = layer(GZIP_TAR, "tar", "site")
    entry["annotations"]["io.deis.oras.content.unpack"] = "true"
    artifact = loaded(manifest(EMPTY_CONFIG, [layer(WASM, "app"), entry]))
    assert len(artifact.layers) == 1


def test_files_of_oras_are_files() -> None:
    layers = [
        layer(OCI_TAR, "app", "app.wasm"),
        layer(OCI_TAR, "text", "./data//notes.txt"),
        layer("text/plain", "more", "/more.txt"),
        layer("application/vnd.example.signature", "nameless"),
    ]
    artifact = loaded(manifest(EMPTY_CONFIG, layers))
    assert [file.path for file in artifact.files] == ["data/notes.txt", "more.txt"]
    assert artifact.contents(artifact.modules[0], with_rootfs=False).files == artifact.files


@pytest.mark.parametrize("title", ["../up", "a/../b", "/", "n" * 256, "x\0y"])
def test_file_with_a_hostile_name_is_refused(title: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"path .* (names|leads|is too)"):
        load(manifest(EMPTY_CONFIG, [layer(WASM, "app"), layer("text/plain", "text", title)]))


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.wasmtime.cwasm", "application/vnd.example.precompiled.v1+wasm"],
)
def test_native_layers_are_kept_apart(media_type: str) -> None:
    artifact = loaded(manifest(OCI_CONFIG, [layer(media_type, title="app.cwasm")]))
    assert artifact.modules == ()
    assert [module.name for module in artifact.native] == ["app.cwasm"]


def test_bounds_of_an_artifact() -> None:
    many = [layer(WASM, str(number)) for number in range(10_000)]
    with pytest.raises(InvalidArgumentError, match="has 10000 layers, and 500 are the most"):
        load(manifest(CNCF_CONFIG, many))
    large = layer(WASM) | {"size": MAX_TOTAL_BYTES + 1}
    with pytest.raises(InvalidArgumentError, match="says that its layers have"):
        load(manifest(CNCF_CONFIG, [large]))
    with pytest.raises(InvalidArgumentError, match="title of layer"):
        load(manifest(CNCF_CONFIG, [layer(WASM, title="t" * (MAX_TITLE + 1))]))


def spin(app: Json | bytes, layers: list[Json], config: str = OCI_CONFIG) -> Artifact:
    documents = Documents()
    entry = documents.add(app, SPIN_APPLICATION)
    target = documents.target(manifest(config, [*layers, entry]))
    artifact = load_artifact(target, documents.read)
    assert artifact is not None
    return artifact


def test_application_of_spin() -> None:
    files = [
        {"path": "index.html", "digest": digest_of(b"page")},
        {"path": "a/small.txt", "digest": digest_of(b"hi"), "inline": "aGk="},
    ]
    app = application(
        [component("hello", "wasm", files, env={"A": "1"}), component("other", "wasm2")],
        [http_trigger("hello", "/hi")],
    )
    layers = [layer(SPIN_WASM, "wasm"), layer(SPIN_WASM, "wasm2"), layer(SPIN_DATA, "page")]
    artifact = spin(app, layers)
    assert artifact.packing is Packing.SPIN
    hello, other = artifact.modules
    assert (hello.name, other.name) == ("hello", "other")
    assert hello.descriptor.digest == digest_of(b"wasm")
    assert hello.env == ("A=1",)
    assert [(file.path, file.content) for file in hello.files] == [
        ("index.html", None),
        ("a/small.txt", b"hi"),
    ]
    assert hello.files[0].blob is not None
    (trigger,) = hello.triggers
    assert (trigger.kind, trigger.config["route"]) == ("http", "/hi")
    assert artifact.contents(other, with_rootfs=False).is_empty
    assert hello.is_component_of_spin


def test_archives_of_spin_are_for_those_files_that_are_no_layers() -> None:
    app = application(
        [
            component("a", "wasm", [{"path": "x", "digest": digest_of(b"x")}]),
            component("b", "wasm", [{"path": "y", "inline": ""}]),
        ]
    )
    artifact = spin(app, [layer(SPIN_WASM, "wasm"), layer(SPIN_ARCHIVE, "archive")])
    with_archive, without = (
        artifact.contents(module, with_rootfs=False) for module in artifact.modules
    )
    assert [each.digest for each in with_archive.archives] == [digest_of(b"archive")]
    assert with_archive.files[0].blob is None
    assert without.archives == ()
    assert without.files[0].content == b""


def test_application_in_the_place_of_the_config() -> None:
    documents = Documents()
    app = application([component("a", "wasm")])
    config = documents.add(app, SPIN_APPLICATION)
    document = manifest(OCI_CONFIG, [layer(SPIN_WASM, "wasm")]) | {"config": config}
    artifact = load_artifact(documents.target(document), documents.read)
    assert artifact is not None
    assert [module.name for module in artifact.modules] == ["a"]


@pytest.mark.parametrize(
    ("app", "layers", "problem"),
    [
        (application([component("a", "lost")]), [], "component 'a': no layer has its digest"),
        (
            application([component("a", "w", [{"path": "f", "digest": digest_of(b"f")}])]),
            [layer(SPIN_WASM, "w")],
            "no layer has the digest .* of its file 'f'",
        ),
        (application([]), [layer(SPIN_APPLICATION, "second")], "more than one spin application"),
    ],
)
def test_application_that_does_not_fit_its_layers(
    app: Json, layers: list[Json], problem: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        spin(app, layers)


def test_application_of_too_many_bytes_is_not_read() -> None:
    huge = layer(SPIN_APPLICATION) | {"size": 5 << 20}
    with pytest.raises(InvalidArgumentError, match=r"spin application .* 5242880 bytes"):
        load(manifest(OCI_CONFIG, [huge]))


def test_document_that_is_not_there_is_told() -> None:
    target = Descriptor("", digest_of(b"lost"), 4)
    with pytest.raises(NotFoundError):
        load_artifact(target, Documents().read)


def test_key_names_the_files_and_nothing_else() -> None:
    document = manifest(CNCF_CONFIG, [layer(WASM), layer(GZIP_TAR, "1"), layer(GZIP_TAR, "2")])
    artifact = loaded(document)
    contents = artifact.contents(artifact.modules[0], with_rootfs=False)
    swapped = replace(contents, layers=contents.layers[::-1])
    assert contents.key == replace(contents).key
    assert len({contents.key, swapped.key, replace(contents, layers=()).key}) == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.binary())
def test_any_manifest(document: bytes) -> None:
    with contextlib.suppress(ShimError):
        load_artifact(Descriptor("", digest_of(document), len(document)), lambda _: document)


@given(st.sampled_from(["config", "layers", "annotations", "artifactType", "schemaVersion"]), JSON)
def test_any_member_of_a_manifest(name: str, value: Any) -> None:
    with contextlib.suppress(ShimError):
        load(manifest(CNCF_CONFIG, [layer(WASM)]) | {name: value})


@given(st.sampled_from(["mediaType", "digest", "size", "annotations", "platform"]), JSON)
def test_any_member_of_a_descriptor(name: str, value: Any) -> None:
    with contextlib.suppress(ShimError):
        load(manifest(EMPTY_CONFIG, [layer(WASM), layer("text/plain", "y", "t") | {name: value}]))


@given(st.sampled_from(["components", "triggers", "must_understand", "host_requirements"]), JSON)
def test_any_member_of_an_application(name: str, value: Any) -> None:
    with contextlib.suppress(ShimError):
        spin(application([component("a", "w")]) | {name: value}, [layer(SPIN_WASM, "w")])


@given(st.sampled_from(["id", "files", "env", "source", "dependencies"]), JSON)
def test_any_member_of_a_component(name: str, value: Any) -> None:
    with contextlib.suppress(ShimError):
        spin(application([component("a", "w") | {name: value}]), [layer(SPIN_WASM, "w")])


@given(JSON)
def test_any_file_of_a_component(value: Any) -> None:
    inner = {"path": "x", "digest": digest_of(b"")}
    for entry in (value, inner | {"path": value}, inner | {"inline": value}):
        with contextlib.suppress(ShimError):
            app = application([component("a", "w", [entry])])
            spin(json.dumps(app).encode(), [layer(SPIN_WASM, "w")])
