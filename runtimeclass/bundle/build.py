"""Builds a bundle: one directory that runs on any node of its processor, and an archive of it.

Rules: everything comes from the checkout, from Debian packages and from the wheels of
requirements.lock, and nothing from what is installed here but tools. The same inputs give the same
bytes. The directory appears whole, in place of the one before.

    bin/        what containerd and people execute
    lib/        loader, C library and the other shared libraries
    python/     CPython and its standard library
    site/       Tandem, its installer, and the wheels
    licenses/   of the Debian packages; those of wheels are in their .dist-info
    sources.json, bundle.json
"""

import gzip
import json
import platform
import shutil
from pathlib import Path
from typing import IO, cast

import shim
from runtimeclass.bundle import bytecode, cpython, debian, libraries, manifest, programs, wheels
from runtimeclass.bundle.arch import ARCHES, Arch
from shim.images.tar_layer import Addition, write_tar

_CHECKOUT = Path(shim.__file__).parent.parent
_OWN = (
    "shim/**/*.py",
    "runtimeclass/__init__.py",
    "runtimeclass/api/**/*.py",
    "runtimeclass/installer/**/*.py",
)


def bundle_of(arch: Arch, output: Path) -> Path:
    """Where the bundle for a processor lies."""
    return output / f"tandem-{shim.__version__}-{arch.name}"


def build(arch: Arch, output: Path, cache: Path) -> Path:
    """Build the bundle for a processor.

    Args:
        arch: the processor.
        output: where `tandem-VERSION-ARCH` and its archive are put.
        cache: where downloads are kept.

    Returns:
        The bundle.

    Raises:
        BuildError: something is missing; the text says what.
    """
    final = bundle_of(arch, output)
    work = output / f".{final.name}.new"
    shutil.rmtree(work, ignore_errors=True)
    root = work / "root"
    root.mkdir(parents=True)
    try:
        packages = debian.fetch(arch, cache, cpython.PACKAGES)
        chosen = wheels.fetch(arch, _CHECKOUT / "requirements.lock", cache / f"wheels-{arch.name}")
        tree = work / "debian"
        debian.unpack(packages, tree)
        cpython.take(tree, root)
        wheels.unpack(chosen.values(), root / "site")
        libraries.take(arch, tree, root)
        libraries.strip(arch, root)
        _copy_own(root / "site")
        programs.write(arch, root)
        bytecode.compile_all(_python_here(arch, root, work, cache), root)
        libraries.sever(arch, root)
        _copy_licenses(packages, tree, root)
        _write_sources(root, packages, chosen)
        manifest.normalize(root)
        manifest.write(root, shim.__version__, arch.name)
        shutil.rmtree(final, ignore_errors=True)
        root.rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _archive(final)
    return final


def _python_here(arch: Arch, root: Path, work: Path, cache: Path) -> Path:
    """The same CPython, for this machine's processor: the bundle's own, where that is its."""
    own = next(each for each in ARCHES.values() if each.machine == platform.machine())
    if own == arch:
        return root
    tree, python = work / "debian-here", work / "python-here"
    python.mkdir()
    debian.unpack(debian.fetch(own, cache, cpython.PACKAGES), tree)
    cpython.take(tree, python)
    libraries.take(own, tree, python)
    return python


def _copy_own(site: Path) -> None:
    for pattern in _OWN:
        for path in sorted(_CHECKOUT.glob(pattern)):
            target = site / path.relative_to(_CHECKOUT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _copy_licenses(packages: list[debian.Package], tree: Path, root: Path) -> None:
    (root / "licenses").mkdir()
    for package in packages:
        text = tree / "usr/share/doc" / package.name / "copyright"
        if text.is_file():
            shutil.copyfile(text, root / "licenses" / package.name)


def _write_sources(root: Path, packages: list[debian.Package], chosen: dict[str, Path]) -> None:
    """What it was made of: for who looks for a version with a known fault."""
    document = {
        "debian": {package.name: package.version for package in packages},
        "wheels": {name: wheel.name for name, wheel in chosen.items()},
    }
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    (root / "sources.json").write_text(text)


def _archive(bundle: Path) -> None:
    path = bundle.with_name(f"{bundle.name}.tar.gz")
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        write_tar([Addition(f"/{bundle.name}", bundle)], cast("IO[bytes]", packed))
