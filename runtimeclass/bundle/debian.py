"""Debian packages, of any release and processor, unpacked into a directory.

Rules: apt runs with a state of its own, so that the machine's packages, lists and configuration
stay as they are; it checks the signatures, against the keys that this Debian brings, and the
hashes. Its lists are a day old at most: what Debian mends is in the next day's bundle.
"""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from runtimeclass.bundle.arch import SUITE, Arch
from runtimeclass.bundle.failure import BuildError

_FRESH_S = 86_400
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
# apt-get(8), --simulate: "Inst NAME (VERSION ...".
_PLANNED = re.compile(r"^Inst (\S+) \((\S+) .*\[(\S+)\]\)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Package:
    """One package, and its archive on this machine."""

    name: str
    version: str
    archive: Path


def fetch(arch: Arch, cache: Path, names: tuple[str, ...]) -> list[Package]:
    """Download packages with all that they depend on.

    Raises:
        BuildError: there is no apt, no mirror, or no such package.
    """
    state = cache / f"debian-{SUITE}-{arch.name}"
    apt = _Apt(arch, state)
    ready = state / "ready"
    if not ready.exists() or time.time() - ready.stat().st_mtime > _FRESH_S:
        _prepare(arch, state)
        apt.run("update")
        ready.touch()
    wanted = ("install", *names)
    planned = _PLANNED.findall(apt.run("--simulate", *wanted))
    apt.run("--download-only", *wanted)
    packages = []
    for name, version, architecture in sorted(planned):
        file = f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
        packages.append(Package(name, version, state / "archives" / file))
    return packages


def unpack(packages: list[Package], directory: Path) -> None:
    """Unpack them over each other."""
    directory.mkdir(parents=True, exist_ok=True)
    for package in packages:
        run("dpkg-deb", "-x", package.archive, directory)


def run(*command: str | Path) -> str:
    """Run a program of this machine and return what it printed.

    Raises:
        BuildError: it is not there, or failed; the text has what it said.
    """
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is not on this machine") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise BuildError(f"{' '.join(map(str, command))}: {said or done.returncode}")
    return done.stdout


class _Apt:
    def __init__(self, arch: Arch, state: Path) -> None:
        options = {
            "Dir::State": state,
            "Dir::State::Lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state,
            "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "APT::Architecture": arch.name,
            "APT::Architectures": arch.name,
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._command = ["apt-get", "-qq", "--yes", "--no-install-recommends"]
        for name, value in options.items():
            self._command += ["-o", f"{name}={value}"]

    def run(self, *arguments: str) -> str:
        return run(*self._command, *arguments)


def _prepare(arch: Arch, state: Path) -> None:
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    codename = run("sh", "-c", ". /etc/os-release && echo $VERSION_CODENAME").strip()
    lines = []
    for part in ("", "-security"):
        found = run(
            "apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {codename}{part}"
        )
        if mirrors := sorted(set(found.split())):
            lines.append(
                f"deb [signed-by={_KEYS} arch={arch.name}] {mirrors[0]} {SUITE}{part} main\n"
            )
    if not lines:
        raise BuildError("apt has no mirror of this Debian release: run apt-get update, then again")
    (state / "sources.list").write_text("".join(lines))
