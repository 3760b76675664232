"""A node for the whole installer without a containerd: files are real, all else is told here.

containerd is what its configuration said when it was last restarted, as CRI's JSON has it. A bundle
is three small files. `Killed` is as SIGKILL: nothing of the installer's runs after it.
"""

import errno
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from runtimeclass.installer import call, install, node, restart, uninstall
from runtimeclass.installer.cri import Sandbox
from runtimeclass.installer.errors import NodeError, ProofError
from runtimeclass.installer.files import Files
from runtimeclass.installer.options import Options
from runtimeclass.installer.steps import Runner, Stop
from tests.node.bundles import write_manifest
from tests.node.roots import CRI_2, ROOTS

CONFIG = "/etc/containerd/config.toml"
_NAMES = {
    "runtime_type": "runtimeType",
    "runtime_path": "runtimePath",
    "pod_annotations": "PodAnnotations",
    "container_annotations": "ContainerAnnotations",
}


class Killed(BaseException):
    """As SIGKILL."""


def make_bundle(folder: Path, version: str) -> Path:
    """A bundle of this version."""
    root = folder / f"bundle-{version}"
    (root / "bin").mkdir(parents=True)
    for name in ("containerd-shim-tandem-v1", "tandemd", "tandem", "tandem-launcher"):
        (root / "bin" / name).write_text(f"{name} {version}")
        (root / "bin" / name).chmod(0o755)
    (root / "tandem").symlink_to("bin/tandem")
    write_manifest(root, version)
    return root


@dataclass
class FakeNode:
    """A node; `refuses` is what its containerd does not come up with, if that is in its file."""

    root: Path
    bundles: dict[str, Path]
    running: Mapping[str, Any] = field(default_factory=dict)
    answers: bool = True
    refuses: str = ""
    version: tuple[int, ...] = (1, 7, 24)
    pods: list[Sandbox] = field(default_factory=list)
    restarts: int = 0
    broken: set[str] = field(default_factory=set)
    proofs: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def start(self) -> None:
        """What a restart of containerd comes to."""
        self.restarts += 1
        text = self.path(CONFIG).read_text() if self.path(CONFIG).exists() else "version = 2"
        self.answers = not (self.refuses and self.refuses in text)
        table = tomllib.loads(text).get("plugins", {}).get(CRI_2, {})
        found = table.get("containerd", {}).get("runtimes", {})
        self.running = {
            name: {_NAMES.get(key, key): value for key, value in entry.items()}
            for name, entry in found.items()
        }

    def prove(self, *_: object) -> None:
        current = self.path("/opt/tandem/current").readlink().name
        assert self.running["tandem"]["runtimeType"] == "io.containerd.tandem.v1"
        shim = (self.path("/usr/local/bin/containerd-shim-tandem-v1")).read_text()
        assert shim.split()[-1] == current.partition("-")[0]
        if current in self.broken:
            raise ProofError("no guest runs")
        self.proofs.append(current)

    def tree(self) -> dict[str, str]:
        """Everything that is on the node."""
        return {
            str(path.relative_to(self.root)): (
                str(path.readlink())
                if path.is_symlink()
                else f"{path.stat().st_mode:o} "
                + (path.read_bytes().hex() if path.is_file() else "")
            )
            for path in self.root.rglob("*")
        }

    def call(
        self,
        stage: str,
        version: str = "",
        *,
        before: Callable[[str, Path], None] | None = None,
        watch: Callable[[str, str], None] | None = None,
        **options: Any,
    ) -> str:
        """One call of the installer."""
        given = Options(
            stage,
            root=self.root,
            bundle=self.bundles.get(version),
            timeout_s=0.0,
            **{"restart_command": ("restart",), **options},
        )
        stop = Stop()
        files = Files(before) if before else Files()
        runner = Runner(stop, watch) if watch else Runner(stop)
        return call.run(given, {}, files, stop, runner)

    def works(self, version: str) -> None:
        """Assert that a restarted containerd would run pods of this version, or of none."""
        self.start()
        assert self.answers
        assert ("tandem" in self.running) is bool(version)
        if version:
            self.prove()
            assert self.proofs[-1] == version


class FakeCri:
    """In the place of `cri.Cri`."""

    channel = None

    def __init__(self, fake: FakeNode) -> None:
        self._fake = fake

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def version(self) -> tuple[int, ...]:
        self._answer()
        return self._fake.version

    def runtimes(self) -> Mapping[str, Any]:
        self._answer()
        return self._fake.running

    def sandboxes(self) -> list[Sandbox]:
        self._answer()
        return self._fake.pods

    def _answer(self) -> None:
        if not self._fake.answers:
            raise NodeError("containerd does not answer")


def make_node(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """A node of kubeadm's with containerd 1.7, and bundles 1, 2 and 3."""
    bundles = {version: make_bundle(folder, version) for version in ("1", "2", "3")}
    fake = FakeNode(ROOTS["kubeadm"].make(folder / "root"), bundles)
    fake.path(CONFIG).chmod(0o640)
    monkeypatch.setattr(node, "Cri", lambda socket: FakeCri(fake))
    monkeypatch.setattr(install, "prove", fake.prove)
    for stage in (install, uninstall):
        monkeypatch.setattr(stage, "sweep", lambda channel: None)
    monkeypatch.setattr(restart.Restarter, "_run", lambda self, command: fake.start())
    fake.start()
    fake.restarts = 0
    return fake


def kills(at: int) -> Callable[[str, Path], None]:
    """Kill at the n-th act."""
    acts = 0

    def before(act: str, path: Path) -> None:
        nonlocal acts
        acts += 1
        if acts == at:
            raise Killed(f"{act} {path}")

    return before


def fills(at: int) -> Callable[[str, Path], None]:
    """Have the disk full from the n-th act on, for whatever needs room."""
    acts = 0

    def before(act: str, path: Path) -> None:
        nonlocal acts
        acts += 1
        if acts >= at and act in {"create", "mkdir"}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return before


def journal(fake: FakeNode) -> dict[str, Any]:
    """The journal as it is on the disk."""
    document: dict[str, Any] = json.loads(fake.path("/opt/tandem/install/journal.json").read_text())
    return document
