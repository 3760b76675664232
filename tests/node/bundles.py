"""Bundles for the installer: the one that `make bundle` made, and small ones.

Those are made of what `make setup` installed: as the real one, but not movable. They are for tests
of what does not depend on what is in a bundle. Form: `runtimeclass.bundle.manifest`.
"""

import hashlib
import json
import os
import platform
import shutil
import sys
from pathlib import Path

import shim
from runtimeclass.installer.bundle import SHIM

PROGRAMS = (SHIM, "tandem-launcher", "tandemd", "tandem")
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "bundle" / f"tandem-{shim.__version__}-{ARCH}"


def make_bundle(folder: Path, version: str, *, broken: bool = False) -> Path:
    """Make a bundle of this version; a broken one's shim says so to whoever executes it."""
    root = folder / f"tandem-{version}"
    (root / "bin").mkdir(parents=True)
    (root / "doc").mkdir()
    (root / "doc" / "version").write_text(version)
    (root / "tandem").symlink_to("bin/tandem")
    for name in PROGRAMS:
        shutil.copy(Path(sys.executable).parent / name, root / "bin" / name)
    if broken:
        (root / "bin" / SHIM).write_text("#!/bin/sh\necho this shim is broken >&2\nexit 1\n")
    write_manifest(root, version)
    return root


def write_manifest(root: Path, version: str, arch: str = ARCH) -> None:
    """Write bundle.json for what is there."""
    files: dict[str, dict[str, object]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            files[name] = {"link": str(path.readlink())}
        elif path.is_file() and name != "bundle.json":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files[name] = {"mode": path.stat().st_mode & 0o777, "sha256": digest}
    document = {"arch": arch, "files": files, "version": version}
    (root / "bundle.json").write_text(json.dumps(document, indent=1, sort_keys=True))


def built_bundle(folder: Path) -> Path:
    """A copy of what `make bundle` made."""
    assert BUILT.is_dir(), "no bundle to test: make bundle"
    return shutil.copytree(BUILT, folder / f"tandem-{shim.__version__}")


def next_bundle(bundle: Path, version: str) -> Path:
    """The same bundle under another version."""
    other = bundle.with_name(f"tandem-{version}")
    shutil.copytree(bundle, other, copy_function=os.link)
    manifest = other / "bundle.json"
    document = json.loads(manifest.read_text())
    manifest.unlink()
    manifest.write_text(json.dumps({**document, "version": version}))
    return other
