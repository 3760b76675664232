"""The wheels of requirements.lock that run-time needs, unpacked for the bundle's Python.

Rules: which they are, the metadata of the installed project says (`pyproject.toml` without the
extra `dev`); their versions and hashes are the lock's; a wheel must exist for the bundle's Python
and processor, for nothing is compiled here. What no node reads is left out.
"""

import re
import sys
import zipfile
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from runtimeclass.bundle.arch import PYTHON, Arch
from runtimeclass.bundle.debian import run
from runtimeclass.bundle.failure import BuildError

PROJECT, EXTRAS = "tandem", ("installer",)
UNUSED = frozenset({"markdown-it-py", "mdurl", "pygments"})
"""What rich needs to colour programs and to print Markdown, which nothing here has it do."""

_LOCKED = re.compile(r"^(\S+)==(\S+).*?(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
# Type stubs, C sources, tests, and the wheel's own account of its files, which would not be true.
_DROPPED = re.compile(
    r"\.pyi$|\.pxd$|\.pyx$|\.h$|\.c$|\.proto$|/py\.typed$|(^|/)(benchmarks|testdata|tests?)/|\.data/"
    r"|\.dist-info/(RECORD|WHEEL|INSTALLER|REQUESTED|top_level\.txt|entry_points\.txt|sboms/.*)$"
    # zstandard has a backend in C, and this one for interpreters that cannot load it.
    r"|^zstandard/_cffi\.|^zstandard/backend_cffi\.py$"
    # gRPC speaks to containerd's socket, without TLS.
    r"|^grpc/_cython/_credentials/"
)


def needed(arch: Arch) -> set[str]:
    """The names of the distributions that Tandem and its installer import, in canonical form."""
    environment = {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.0",
        "platform_machine": arch.machine,
    }
    found: set[str] = set()
    waiting: list[tuple[str, tuple[str, ...]]] = [(PROJECT, EXTRAS)]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        found.add(canonicalize_name(name))
        for text in requires(name) or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not any(
                marker.evaluate({**environment, "extra": extra}) for extra in ("", *extras)
            ):
                continue
            entry = (requirement.name, tuple(sorted(requirement.extras)))
            if entry not in seen:
                seen.add(entry)
                waiting.append(entry)
    return found - {PROJECT} - UNUSED


def locked(lock: str, names: set[str]) -> dict[str, tuple[str, str]]:
    """The version of each of these distributions, and its part of the lock, hashes included.

    Raises:
        BuildError: the lock has none of them.
    """
    parts = {match[1]: (match[2], match[0]) for match in _LOCKED.finditer(lock)}
    missing = sorted(names - parts.keys())
    if missing:
        raise BuildError(f"requirements.lock does not have {', '.join(missing)}: run make lock")
    return {name: parts[name] for name in sorted(names)}


def fetch(arch: Arch, lock: Path, cache: Path) -> dict[str, Path]:
    """Download the wheels, and return them by the names of their distributions.

    Args:
        arch: the processor.
        lock: requirements.lock.
        cache: a directory for the wheels of this processor.

    Raises:
        BuildError: one does not exist for this Python and processor, or has another hash.
    """
    chosen = locked(lock.read_text(), needed(arch))
    cache.mkdir(parents=True, exist_ok=True)
    part = cache / "requirements.txt"
    part.write_text("".join(text for _, text in chosen.values()))
    command = ["pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--python-version", PYTHON]
    command += ["--implementation", "cp", "--dest", str(cache), "--requirement", str(part)]
    for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none"):
        command += ["--abi", abi]
    for platform in arch.platforms:
        command += ["--platform", platform]
    run(sys.executable, "-m", *command)
    # pip leaves there what an older lock asked for.
    found = {}
    for wheel in sorted(cache.glob("*.whl")):
        name, version, _, _ = parse_wheel_filename(wheel.name)
        if chosen.get(name, ("", ""))[0] == str(version):
            found[str(name)] = wheel
    return found


def unpack(wheels: Iterable[Path], directory: Path) -> None:
    """Unpack wheels beside each other, without what no node reads.

    Raises:
        BuildError: two of them have a file of the same name.
    """
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                if info.is_dir() or _DROPPED.search(info.filename):
                    continue
                target = directory / info.filename
                if target.exists():
                    raise BuildError(f"{wheel.name}: {info.filename} is another wheel's, too")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(info))
