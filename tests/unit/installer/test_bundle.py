"""Bundles: what is refused, and which are in use."""

import json
from pathlib import Path

import pytest

from runtimeclass.installer.bundle import (
    check_room,
    faults,
    in_use,
    leftovers,
    own_bundle,
    read_bundle,
    versions,
)
from runtimeclass.installer.errors import BundleError, NodeError
from runtimeclass.installer.host import Host
from tests.node.bundles import write_manifest
from tests.unit.installer.fake import make_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path, "1.2.3")


def change(bundle: Path, **members: object) -> None:
    path = bundle / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def test_bundle_is_as_it_says(bundle: Path) -> None:
    found = read_bundle(bundle)
    assert found.version == "1.2.3"
    assert faults(found, bundle) == ""


def test_every_difference_is_a_fault(bundle: Path) -> None:
    found = read_bundle(bundle)
    (bundle / "bin/tandem").chmod(0o700)
    assert faults(found, bundle) == "bin/tandem has another mode"
    (bundle / "bin/tandem").chmod(0o755)
    (bundle / "bin/tandem").write_text("x")
    assert faults(found, bundle) == "bin/tandem has other bytes"
    (bundle / "bin/tandem").unlink()
    assert faults(found, bundle) == "bin/tandem: No such file or directory"
    (bundle / "bin/tandem").symlink_to("tandemd")
    assert "bin/tandem has" in faults(found, bundle)


def test_link_elsewhere_is_a_fault(bundle: Path) -> None:
    found = read_bundle(bundle)
    (bundle / "tandem").unlink()
    (bundle / "tandem").symlink_to("bin/tandemd")
    assert faults(found, bundle) == "tandem is another link"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"version": "../x"}, "cannot name a directory"),
        ({"version": ""}, "cannot name a directory"),
        ({"arch": "s390x"}, "is for s390x"),
        ({"files": {}}, "has no bin/containerd-shim-tandem-v1"),
        ({"files": {"../x": {}}}, "leads out of the bundle"),
        ({"files": {"/x": {}}}, "leads out of the bundle"),
        ({"files": 1}, "no bundle's manifest"),
    ],
)
def test_manifest_that_cannot_be_is_refused(
    bundle: Path, members: dict[str, object], reason: str
) -> None:
    change(bundle, **members)
    with pytest.raises(BundleError, match=reason):
        read_bundle(bundle)


def test_directory_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="build the bundle"):
        read_bundle(tmp_path)
    with pytest.raises(BundleError, match=r"name one \(--bundle\)"):
        own_bundle()


def test_name_is_the_version_unless_another_build_has_it(bundle: Path, tmp_path: Path) -> None:
    host = Host(tmp_path / "root")
    found = read_bundle(bundle)
    assert found.name_on(host) == "1.2.3"
    there = tmp_path / "root/opt/tandem/1.2.3"
    there.mkdir(parents=True)
    (there / "bundle.json").write_bytes((bundle / "bundle.json").read_bytes())
    assert found.name_on(host) == "1.2.3"
    (bundle / "more").touch()
    write_manifest(bundle, "1.2.3")
    again = read_bundle(bundle)
    assert again.name_on(host) == f"1.2.3-{again.digest[:8]}"


def test_room_is_looked_for(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_bundle(bundle)
    check_room(found, Host(tmp_path))
    monkeypatch.setattr("runtimeclass.installer.bundle._SPARE_BYTES", 1 << 60)
    with pytest.raises(NodeError, match=r"MiB free, and needs .*: make room"):
        check_room(found, Host(tmp_path))
    (bundle / "bin/tandem").unlink()
    with pytest.raises(BundleError, match="not whole"):
        check_room(found, Host(tmp_path))


def test_versions_are_the_directories_of_that_name(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert (versions(host), leftovers(host)) == ([], [])
    for name in ("1", "2", "install", ".2.new"):
        (tmp_path / "opt/tandem" / name).mkdir(parents=True)
    (tmp_path / "opt/tandem/current").symlink_to("1")
    assert (versions(host), leftovers(host)) == (["1", "2"], [".2.new"])


def test_versions_in_use_are_told_by_command_lines(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert in_use(host) is None
    for pid, line in (
        ("1", b"/sbin/init\0"),
        ("7", b"/opt/tandem/1/lib/ld.so\0x\0/opt/tandem/1/bin/tandemd\0"),
        ("8", b"/opt/tandem/2.0+x/bin/tandem-launcher\0start\0"),
    ):
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "cmdline").write_bytes(line)
    (tmp_path / "proc/self").symlink_to("7")
    (tmp_path / "proc/9").mkdir()
    assert in_use(host) == {"1", "2.0+x"}
