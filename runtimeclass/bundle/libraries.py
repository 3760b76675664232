"""The C library, its loader and every shared library that something in a bundle asks for.

Rules: nothing of the node's is ever loaded. The loader is executed by name with the bundle's `lib`
as its path; the places where it and the libraries would look besides are made unusable in their
binaries (`sever`): neither environment nor options can say that. What is asked for and found
nowhere fails the build.
"""

import re
import shutil
from pathlib import Path

from runtimeclass.bundle.arch import Arch
from runtimeclass.bundle.debian import run
from runtimeclass.bundle.failure import BuildError

LOADER = "lib/ld.so"
"""Executed by its name, it may have one that is the same for every processor."""

_NEEDED = re.compile(r"\(NEEDED\).*\[(.+)\]")
_OPENED_BY_NAME = ("libseccomp.so.2",)


def is_elf(path: Path) -> bool:
    """Whether a file is an ELF binary."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def binaries(root: Path) -> list[Path]:
    """Every ELF file below a directory, in order."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path for path in files if is_elf(path)]


def take(arch: Arch, tree: Path, root: Path) -> None:
    """Copy loader and libraries from unpacked packages into the bundle's `lib`.

    Raises:
        BuildError: one is missing.
    """
    source, target = tree / "usr/lib" / arch.triplet, root / "lib"
    target.mkdir()
    loader = next(tree.rglob(arch.loader), None)
    if loader is None:
        raise BuildError(f"{arch.loader} is in none of the Debian packages")
    _copy(loader, root / LOADER)
    there = binaries(root)
    # Wheels bring some of their own, and name their place.
    brought = {arch.loader, *(path.name for path in there)}
    waiting = [*_OPENED_BY_NAME, *(name for path in there for name in _needed(path))]
    while waiting:
        name = waiting.pop()
        if name in brought:
            continue
        if not (source / name).exists():
            raise BuildError(f"{name} is needed, and in none of the Debian packages")
        _copy(source / name, target / name)
        brought.add(name)
        waiting += _needed(target / name)


def strip(arch: Arch, root: Path) -> None:
    """Remove what only debuggers and linkers read."""
    program = tool(arch, "strip")
    for path in binaries(root):
        run(program, "--strip-unneeded", path)


def tool(arch: Arch, name: str) -> str:
    """The compiler or binary tool of this machine that works for a processor.

    Raises:
        BuildError: none is installed.
    """
    found = shutil.which(f"{arch.triplet}-{name}")
    if found is None:
        raise BuildError(
            f"{arch.triplet}-{name} is not installed: it is in Debian's"
            f" gcc-{arch.triplet} and binutils-{arch.triplet}, with libc6-dev-{arch.name}-cross"
        )
    return found


def sever(arch: Arch, root: Path) -> None:
    """Replace the paths of the node at which these binaries look by such as cannot exist.

    Raises:
        BuildError: one has none of them: another version needs another look.
    """
    lib = f"/lib/{arch.triplet}/"
    # In this order they lie behind each other, each ended by a NUL (glibc, elf/dl-load.c).
    searched = "\0".join((lib, f"/usr{lib}", "/lib/", "/usr/lib/"))
    places = {
        Path(LOADER).name: (searched, "/etc/ld.so.preload\0", "/etc/ld.so.cache\0"),
        # Tables of characters and locales; both are the C locale's, which is in the library.
        "libc.so.6": (f"/usr{lib}gconv", "/usr/lib/locale"),
        # Configuration that names modules to load; authorities are named by who connects.
        "libcrypto.so.3": ("/usr/lib/ssl", f"/usr{lib}ossl-modules", f"/usr{lib}engines-3"),
    }
    for name, texts in places.items():
        path = root / "lib" / name
        content = path.read_bytes()
        for text in texts:
            if text.encode() not in content:
                raise BuildError(f"{name} does not have the path {text!r}: look at how it finds it")
            content = content.replace(text.encode(), _nowhere(text))
        path.write_bytes(content)


def _nowhere(text: str) -> bytes:
    """A path of the same length, and as absolute, that no system has."""
    parts = text.split("\0")
    return "\0".join(("/-" * len(part))[: len(part) - 1] + part[-1:] for part in parts).encode()


def _needed(path: Path) -> list[str]:
    return _NEEDED.findall(run("readelf", "--dynamic", "--wide", path))


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o755)
