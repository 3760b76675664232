"""The bundle: checked, copied side by side with older ones, and their removal.

Rules: a directory below /opt/tandem that has a version's name is whole and never changed again; one
is removed only while no process of the node's runs from it. Form: `runtimeclass.bundle.manifest`.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from runtimeclass.installer.errors import BundleError, InstallerError, NodeError
from runtimeclass.installer.files import Files, told
from runtimeclass.installer.host import Host

TOP = "/opt/tandem"
CURRENT = f"{TOP}/current"
STATE = f"{TOP}/install"
SHIM = "containerd-shim-tandem-v1"
MANIFEST = "bundle.json"
_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_NEEDED = (f"bin/{SHIM}", "bin/tandemd", "bin/tandem", "bin/tandem-launcher")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_NOT_VERSIONS = {"current", "install"}
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as its manifest, whose SHA-256 is `digest`, describes it."""

    directory: Path
    version: str
    files: Mapping[str, Mapping[str, Any]]
    digest: str

    def name_on(self, host: Host) -> str:
        """What its copy is called on the node: the version, unless another build has that name."""
        try:
            there = host.path(f"{TOP}/{self.version}/{MANIFEST}").read_bytes()
        except OSError:
            return self.version
        same = hashlib.sha256(there).hexdigest() == self.digest
        return self.version if same else f"{self.version}-{self.digest[:8]}"


def own_bundle() -> Path:
    """The bundle that this program is in.

    Raises:
        BundleError: it is in none.
    """
    for parent in (*Path(__file__).resolve().parents, *Path(sys.executable).resolve().parents):
        if (parent / MANIFEST).is_file():
            return parent
    raise BundleError("this installer is not in a bundle: name one (--bundle)")


def read_bundle(directory: Path) -> Bundle:
    """Read a bundle's manifest.

    Raises:
        BundleError: it is no bundle, or for another kind of machine.
    """
    path = directory / MANIFEST
    try:
        data = path.read_bytes()
        document = json.loads(data)
        files, version = dict(document["files"]), str(document["version"])
        arch = str(document["arch"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} is no bundle's manifest ({error}): build the bundle") from error
    machine = _ARCHES.get(platform.machine(), platform.machine())
    if arch != machine:
        raise BundleError(f"{directory} is for {arch}, and this machine is {machine}")
    if not _VERSION.fullmatch(version):
        raise BundleError(f"{path} has the version {version[:64]!r}, which cannot name a directory")
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BundleError(f"{path} has a file {name[:64]!r}, which leads out of the bundle")
    missing = [name for name in _NEEDED if name not in files]
    if missing:
        raise BundleError(f"{path} has no {', '.join(missing)}: build the bundle anew")
    return Bundle(directory, version, files, hashlib.sha256(data).hexdigest())


def faults(bundle: Bundle, directory: Path) -> str:
    """What is wrong with a copy of a bundle, in words; empty where nothing is."""
    for name, entry in bundle.files.items():
        path = directory / name
        try:
            if "link" in entry:
                if os.readlink(path) != entry["link"]:  # noqa: PTH115 (to the letter)
                    return f"{name} is another link"
                continue
            if path.is_symlink() or path.stat().st_mode & 0o777 != entry["mode"]:
                return f"{name} has another mode"
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != entry["sha256"]:
                    return f"{name} has other bytes"
        except OSError as error:
            return f"{name}: {error.strerror}"
    return ""


def copy_bundle(bundle: Bundle, path: Path, files: Files) -> None:
    """Copy it to the node, whole or not at all.

    Raises:
        BundleError: the bundle is not as its manifest says.
        HostError: the node has no room, or does not let us.
    """
    new = path.with_name(f".{path.name}.new")
    files.remove_tree(new)
    try:
        _fill(bundle, new)
        wrong = faults(bundle, new)
        if wrong:
            raise BundleError(f"{bundle.directory}: {wrong} than its manifest says: fetch it anew")
        files.adopt(new, path)
    except InstallerError:
        # On a full disk, the rest of the way back needs the room that this takes.
        files.remove_tree(new)
        raise


def _fill(bundle: Bundle, new: Path) -> None:
    with told("copy the bundle to", new):
        for name, entry in bundle.files.items():
            source, copy = bundle.directory / name, new / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if "link" in entry:
                copy.symlink_to(entry["link"])
            else:
                if not source.is_file():
                    raise BundleError(f"{source} is missing: the bundle is not whole")
                shutil.copyfile(source, copy)
                copy.chmod(entry["mode"])
        shutil.copyfile(bundle.directory / MANIFEST, new / MANIFEST)


def check_room(bundle: Bundle, host: Host) -> None:
    """Whether the copy will have room.

    Raises:
        NodeError: it will not.
    """
    needed = _SPARE_BYTES
    for name, entry in bundle.files.items():
        if "link" not in entry:
            try:
                needed += (bundle.directory / name).stat().st_size
            except OSError as error:
                text = f"{bundle.directory / name} is missing: the bundle is not whole"
                raise BundleError(text) from error
    path = host.path(f"{TOP}/x").parent
    while not path.exists():
        path = path.parent
    disk = os.statvfs(path)
    if disk.f_bavail * disk.f_frsize < needed:
        free = disk.f_bavail * disk.f_frsize >> 20
        raise NodeError(f"{TOP} has {free} MiB free, and needs {needed >> 20} MiB: make room")
    if disk.f_flag & os.ST_NOEXEC:
        raise NodeError(f"{TOP} is on a file system without execution (noexec): nothing would run")


def versions(host: Host) -> list[str]:
    """The names of the bundles that are on the node."""
    top = host.path(TOP)
    if not top.is_dir():
        return []
    return sorted(
        each.name
        for each in top.iterdir()
        if each.is_dir() and not each.is_symlink() and each.name not in _NOT_VERSIONS
        and not each.name.startswith(".")
    )  # fmt: skip


def leftovers(host: Host) -> list[str]:
    """What a kill left of a copy that was being made, or of one that was being removed."""
    top = host.path(TOP)
    return sorted(each.name for each in top.glob(".*")) if top.is_dir() else []


def in_use(host: Host) -> set[str] | None:
    """The bundles from which processes of the node's run; None where its /proc is not to be seen.

    A process of ours has the bundle's directory in its command line, which any user may read; a
    daemon's children have the daemon's.
    """
    proc = host.path("/proc")
    if not (proc / "self").is_symlink():
        return None
    found = set()
    for path in proc.glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        found |= set(re.findall(rf"{TOP}/([^/\0]+)/", line))
    return found
