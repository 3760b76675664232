"""pack, push, pull, inspect, images and rm, against Debian's docker-registry."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import guests, packing
from tests.support.registry import PASSWORD, USER, Registry
from tests.support.tandem_command import TandemCommand


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as registry:
        yield registry


@pytest.fixture
def tandem(tmp_path: Path) -> TandemCommand:
    return TandemCommand(tmp_path / "node")


@pytest.fixture
def other(tmp_path: Path) -> TandemCommand:
    """Another node."""
    return TandemCommand(tmp_path / "other")


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wasm"
    path.write_bytes(guests.binary(guests.HELLO))
    return path


def log_in(tandem: TandemCommand, registry: Registry, password: str = PASSWORD) -> None:
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    document = {"auths": {registry.address: {"auth": auth}}}
    (tandem.docker / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize("form", [(), ("--compat",)])
def test_image_goes_round(
    registry: Registry,
    tandem: TandemCommand,
    other: TandemCommand,
    hello: Path,
    form: tuple[str, ...],
) -> None:
    name = registry.image(f"round{len(form)}")
    packed = tandem.must("pack", hello, "-t", name, *form, "--output", "json").json
    pushed = tandem.must("push", name, "--output", "json").json
    assert pushed["digest"] == packed["digest"]
    assert 0 < pushed["moved"] < packed["size"]
    assert tandem.must("push", name, "--output", "json").json["moved"] == 0
    pulled = other.must("pull", name, "--output", "json").json
    assert pulled["digest"] == packed["digest"]
    [listed] = other.must("images", "--output", "json").json
    assert listed == {"reference": name, "digest": packed["digest"], "size": packed["size"]}
    report = other.must("inspect", name, "--output", "json").json
    assert report["runs"] is True
    assert report["digest"] == packed["digest"]
    assert report["form"] == ("image" if form else "artifact")
    [module] = report["modules"]
    assert (module["kind"], module["world"], module["wasi"]) == ("module", "command", "0.1")
    assert module["imports"] == ["wasi_snapshot_preview1.fd_write"]
    [removed] = other.must("rm", name, "--output", "json").json
    assert removed["freed"] > 0
    assert other.must("images", "--output", "json").json == []
    assert list((other.images / "blobs/sha256").iterdir()) == []


def test_pull_by_digest_and_push_under_another_name(
    registry: Registry, tandem: TandemCommand, other: TandemCommand, hello: Path
) -> None:
    digest = tandem.must("pack", hello, "-t", "registry.example/a:1", "--output", "json").json[
        "digest"
    ]
    name = registry.image("renamed")
    tandem.must("push", "registry.example/a:1", name)
    by_digest = f"{registry.address}/renamed@{digest}"
    assert other.must("pull", by_digest, "--output", "json").json["reference"] == by_digest


def test_pull_that_was_interrupted_goes_on(
    registry: Registry, tandem: TandemCommand, other: TandemCommand, hello: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").write_bytes(bytes(100_000))
    name = registry.image("interrupted")
    packed = tandem.must("pack", hello, "-t", name, "--add", tmp_path / "data", "--output", "json")
    tandem.must("push", name)
    other.must("pull", name)
    manifest = json.loads(blob(other, packed.json["digest"]).read_text())
    # As an interruption leaves it: no name, and not all of the blobs.
    (other.images / "index.json").unlink()
    blob(other, manifest["layers"][0]["digest"]).unlink()
    again = other.must("pull", name, "--output", "json").json
    assert again["moved"] == manifest["layers"][0]["size"]
    other.must("inspect", name)


def blob(node: TandemCommand, digest: str) -> Path:
    return node.images / "blobs" / digest.replace(":", "/")


def test_password_and_certificate_are_needed_and_taken(
    tandem: TandemCommand, other: TandemCommand, hello: Path
) -> None:
    with Registry(auth=True, tls=True) as guarded:
        name = guarded.image("guarded")
        tandem.must("pack", hello, "-t", name)
        trust = ("--ca-file", guarded.certificate)
        refused = tandem("push", name, *trust)
        assert refused.status == 1
        assert "docker login" in refused.err
        log_in(tandem, guarded, "wrong")
        refused = tandem("push", name, *trust)
        assert refused.status == 1
        assert "401" in refused.err
        assert "wrong" not in refused.err
        log_in(tandem, guarded)
        tandem.must("push", name, *trust)
        log_in(other, guarded)
        other.must("pull", name, *trust)


def test_unknown_certificate_is_refused_with_the_way_out(
    tandem: TandemCommand, tmp_path: Path
) -> None:
    with Registry(tls=True) as guarded, Registry(tls=True) as wrong:
        refused = tandem("pull", guarded.image("a"), "--ca-file", wrong.certificate)
        assert refused.status == 1
        assert "certificate" in refused.err
        assert "--ca-file" in refused.err
    missing = tandem("pull", "registry.example/a", "--ca-file", tmp_path / "nowhere")
    assert missing.status == 1
    assert "nowhere does not exist" in missing.err


def test_credential_helper_is_asked(tandem: TandemCommand, hello: Path, tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-tests"
    helper.write_text(f'#!/bin/sh\necho \'{{"Username":"{USER}","Secret":"{PASSWORD}"}}\'\n')
    helper.chmod(0o755)
    (tandem.docker / "config.json").write_text('{"credsStore": "tests"}')
    tandem.environment["PATH"] = f"{tmp_path}:{tandem.environment['PATH']}"
    with Registry(auth=True) as guarded:
        name = guarded.image("helped")
        tandem.must("pack", hello, "-t", name)
        tandem.must("push", name)


def test_what_is_not_there_is_said(registry: Registry, tandem: TandemCommand) -> None:
    for words, expected in (
        (("pull", registry.image("nowhere")), "404"),
        (("push", registry.image("nowhere")), "not in the image store"),
        (("inspect", registry.image("nowhere")), "not in the image store"),
        (("inspect", "/nowhere"), "does not exist"),
        (("rm", registry.image("nowhere")), "not in the image store"),
        (("pull", "127.0.0.1:9/a"), "127.0.0.1:9"),
        (("pull", "nonsense"), "registry.example/hello:1"),
    ):
        done = tandem(*words)
        assert done.status == 1, words
        assert done.err.startswith("tandem: ")
        assert expected in done.err
        assert "Traceback" not in done.err


def test_archive_needs_no_store(tandem: TandemCommand, hello: Path, tmp_path: Path) -> None:
    archive = tmp_path / "hello.tar"
    packed = tandem.must(
        "pack", hello, "-t", "registry.example/a:1", "-o", archive, "--output", "json"
    ).json
    assert not tandem.images.exists()
    report = tandem.must("inspect", archive, "--output", "json").json
    assert report["digest"] == packed["digest"]
    assert report["runs"] is True


def test_files_are_for_the_guest(tandem: TandemCommand, hello: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").write_text("x")
    name = "registry.example/a:1"
    tandem.must("pack", hello, "-t", name, "--add", f"{tmp_path}/data:/srv")
    assert tandem.must("inspect", name, "--output", "json").json["files"] == 1


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--platform", "linux/arm64"), "--platform is for --compat"),
        (("--annotation", "x"), "NAME=VALUE"),
        (("--compat", "--env", "=x"), "NAME=VALUE"),
    ],
)
def test_wrong_command_line_is_usage(
    tandem: TandemCommand, hello: Path, options: tuple[str, ...], expected: str
) -> None:
    done = tandem("pack", hello, "-t", "registry.example/a:1", *options)
    assert done.status == 2
    assert expected in done.err


def test_time_is_what_source_date_epoch_says(tandem: TandemCommand, hello: Path) -> None:
    words = ("pack", hello, "-t", "registry.example/a:1", "--output", "json")
    first = tandem.must(*words).json["digest"]
    second = tandem(*words, env={"SOURCE_DATE_EPOCH": "1700000000"}).json["digest"]
    assert first != second
    assert tandem(*words, env={"SOURCE_DATE_EPOCH": "x"}).status == 1


def test_of_an_index_the_manifest_for_wasm_is_taken(
    registry: Registry, tandem: TandemCommand
) -> None:
    wasm = image_of(guests.binary(guests.HELLO), "wasi/wasm")
    index = packing.index({"linux/amd64": image_of(b"\x7fELF", "linux/amd64"), "wasi/wasm": wasm})
    name = registry.push("indexed", index.target, *index.blobs)
    pulled = tandem.must("pull", name, "--output", "json").json
    assert pulled["digest"] == index.target.digest
    report = tandem.must("inspect", name, "--output", "json").json
    assert (report["digest"], report["runs"]) == (wasm.target.digest, True)
    assert report["platform"] == "wasi/wasm"
    [listed] = tandem.must("images", "--output", "json").json
    assert listed["size"] > wasm.target.descriptor()["size"]
    refused = tandem("push", name, registry.image("copied"))
    assert refused.status == 1
    assert "not in the image store" in refused.err


def image_of(entry: bytes, platform: str) -> packing.Artifact:
    layer = packing.tar_layer({"/app": entry}, packing.TAR)
    config = packing.image_config(platform, [packing.diff_id(layer)], Entrypoint=["/app"])
    return packing.manifest(config, [layer])
