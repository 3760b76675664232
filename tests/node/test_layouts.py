"""Every kind of node, as a containerd of its line reads it: what it had and the handler, no more.

containerd's own `config dump`, in the node's root, is the judge.
"""

import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from runtimeclass.installer.changes import Changes
from runtimeclass.installer.files import Content, Files
from runtimeclass.installer.host import Host
from runtimeclass.installer.journal import Journal
from runtimeclass.installer.layouts import find_place
from runtimeclass.installer.options import Options
from runtimeclass.installer.target import choose_target, cut_handler
from runtimeclass.installer.toml_edit import HANDLER, Handler
from tests.node.rendering import render
from tests.node.roots import ROOTS, Root
from tests.support.containerd_config import RELEASES, Release

pytestmark = [pytest.mark.root, pytest.mark.containerd]

HANDLERS = {
    "plain": Handler(),
    "by path, with systemd's cgroups": Handler(
        "/opt/tandem/current/bin/containerd-shim-tandem-v1", {"SystemdCgroup": True}
    ),
}
# The form that 2.3 has begun, of which 2.1 knows nothing.
UNREADABLE = {"version-4"}

_DUMP = """\
cd "$1"
mkdir -p proc dev tmp node
for name in usr proc dev; do mkdir -p $name; mount --rbind /$name $name; done
for name in bin lib lib64 sbin; do ln -s usr/$name $name; done
mount --bind "$2" node
# Without a file, a containerd that starts has its defaults; 1.6's `dump` insists on a file.
if [ ! -e ".$3" ]; then
  echo 'version = 2' > tmp/empty.toml
  set -- "$1" "$2" /tmp/empty.toml
fi
exec chroot . /node/containerd --config "$3" config dump
"""


def line_of(version: tuple[int, ...]) -> str:
    """Which of RELEASES stands for this containerd."""
    return "2.1" if version >= (2,) else f"{version[0]}.{version[1]}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" not in metafunc.fixturenames:
        return
    line = metafunc.config.getoption("--containerd")
    own = [
        name
        for name, root in ROOTS.items()
        if line_of(root.containerd) == line and name not in UNREADABLE
    ]
    metafunc.parametrize("name", own)
    metafunc.parametrize("handler", HANDLERS.values(), ids=HANDLERS)


def dump(release: Release, node: Path, config: str) -> dict[str, Any]:
    """The merged configuration of a node."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-euc", _DUMP, "sh", node, release.programs, config],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    for name in ("bin", "lib", "lib64", "sbin"):
        (node / name).unlink()
    assert done.returncode == 0, done.stderr
    assert "unknown key" not in done.stderr
    dumped = tomllib.loads(done.stdout)
    # In the order of a map of Go's, which is none; the file itself is among them.
    imports = set(dumped.get("imports") or []) - {config, "/tmp/empty.toml"}
    return {**dumped, "imports": sorted(imports)}


def runtimes(dumped: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """The table of runtimes of the CRI that this containerd has."""
    found: dict[str, Any] = dumped["plugins"][release.plugin]["containerd"]["runtimes"]
    return found


def spell_out(dumped: Mapping[str, Any], release: Release) -> None:
    """Take out of the runtimes what means the same as nothing, in the default of 1.x above all."""
    for table in runtimes(dumped, release).values():
        options = table.get("options") or {}
        table["options"] = {key: value for key, value in options.items() if value}
        table["sandbox_mode"] = table.get("sandbox_mode") or "podsandbox"


def tree(root: Root, node: Path) -> dict[str, str]:
    """The texts of a node's configuration."""
    top = node / root.config.split("/")[1]
    return {str(each): each.read_text() for each in top.rglob("*") if each.is_file()}


def test_containerd_reads_what_was_there_and_the_handler(
    name: str, handler: Handler, tmp_path: Path, containerd: str
) -> None:
    release, root = RELEASES[containerd], ROOTS[name]
    node = root.make(tmp_path / "node")
    (tmp_path / "state").mkdir()
    render(root, node)
    texts, before = tree(root, node), dump(release, node, root.config)
    assert HANDLER not in runtimes(before, release)

    host, files = Host(node), Files()
    place = find_place(host, Options("install"))
    target = choose_target(host, place, root.containerd, handler)
    changes = Changes(host, files, Journal(files, tmp_path / "state"))
    changes.file(target.path, Content(target.text.encode()), "handler", cut_handler)
    render(root, node)
    after = dump(release, node, root.config)
    assert runtimes(after, release).keys() == {*runtimes(before, release), HANDLER}
    found = runtimes(after, release).pop(HANDLER)
    for key, value in handler.table.items():
        assert found[key] == value, key
    spell_out(before, release)
    spell_out(after, release)
    assert after == before

    assert changes.restore("handler", cut_handler) == []
    render(root, node)
    assert tree(root, node) == texts
    restored = dump(release, node, root.config)
    spell_out(restored, release)
    assert restored == before


def test_every_root_is_of_a_line_that_is_tested() -> None:
    assert {line_of(root.containerd) for root in ROOTS.values()} == set(RELEASES)
    assert set(ROOTS) > UNREADABLE
