"""The image writer: the archives depend on their contents alone, and say what they were told."""

import json
import os
import tarfile
from pathlib import Path

from tests.support import images


def read_json(archive: Path, member: str) -> dict[str, object]:
    with tarfile.open(archive) as opened:
        file = opened.extractfile(member)
        assert file is not None
        document: dict[str, object] = json.load(file)
        return document


def test_archive_depends_on_its_contents_alone(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x")
    program.chmod(0o755)
    first: dict[str, images.Content] = {
        "/b": b"2",
        "/a/program": program,
        "/tmp": images.Directory(0o1777),
    }
    one = images.build_image(tmp_path / "one.tar", "localhost/x:1", first).read_bytes()
    os.utime(program, (1, 1))
    second = dict(reversed(first.items()))
    two = images.build_image(tmp_path / "two.tar", "localhost/x:1", second).read_bytes()
    assert one == two


def test_layer_holds_parents_modes_and_links(tmp_path: Path) -> None:
    files: dict[str, images.Content] = {
        "/bin/tool": (b"#!", 0o755),
        "/bin/alias": images.Symlink("tool"),
        "/var/lib/x": b"text",
    }
    archive = images.build_image(tmp_path / "x.tar", "localhost/x:1", files)
    with tarfile.open(archive) as opened:
        blobs = [opened.extractfile(name) for name in opened.getnames() if "blobs/" in name]
        with tarfile.open(fileobj=blobs[-1]) as layer:
            entries = {entry.name: entry for entry in layer}
    assert list(entries) == ["bin", "bin/alias", "bin/tool", "var", "var/lib", "var/lib/x"]
    assert entries["bin/tool"].mode == 0o755
    assert entries["bin/alias"].linkname == "tool"
    assert entries["var/lib"].isdir()
    assert {(entry.mtime, entry.uid, entry.gid) for entry in entries.values()} == {(0, 0, 0)}


def test_name_and_configuration_are_written(tmp_path: Path) -> None:
    config = images.ImageConfig(
        entrypoint=["/app.wasm"], cmd=["x"], env={"A": "b"}, user="7", platform="wasip1/wasm"
    )
    archive = images.wasm_image(tmp_path / "x.tar", "localhost/x:2", b"(module)", config=config)
    assert images.image_name(archive) == "localhost/x:2"
    with tarfile.open(archive) as opened:
        configs = [name for name in opened.getnames() if "blobs/" in name]
    document = read_json(archive, configs[0])
    assert (document["os"], document["architecture"]) == ("wasip1", "wasm")
    assert document["config"] == {
        "Entrypoint": ["/app.wasm"],
        "Cmd": ["x"],
        "Env": ["A=b"],
        "User": "7",
    }
