"""What is in a bundle, that its manifest says so, and that it comes out the same each time."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import shim
from runtimeclass.bundle.__main__ import MAX_BYTES, component_sizes
from tests.bundle.conftest import BUILT, ROOT


def test_manifest_names_every_file_as_it_is(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    assert (manifest["version"], manifest["arch"]) == (shim.__version__, "amd64")
    found = {}
    for path in bundle.rglob("*"):
        if path.is_file() and path.name != "bundle.json":
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            mode = path.stat().st_mode & 0o7777
            found[str(path.relative_to(bundle))] = {"mode": mode, "sha256": digest}
    assert found == manifest["files"]
    assert {entry["mode"] for entry in found.values()} == {0o644, 0o755}


def test_size_is_kept(bundle: Path) -> None:
    assert component_sizes(bundle).total() < MAX_BYTES


def test_nothing_names_the_place_where_it_was_built(bundle: Path) -> None:
    # Debian's own Python is at home in /usr, here and in the packages that the bundle is made of.
    python = () if sys.base_prefix == "/usr" else (sys.base_prefix + "/lib/python",)
    places = [os.fsencode(place) for place in (ROOT, sys.prefix, *python)]
    found = [
        path
        for path in bundle.rglob("*")
        if path.is_file() and any(place in path.read_bytes() for place in places)
    ]
    assert found == []


def test_sources_are_named(bundle: Path) -> None:
    sources = json.loads((bundle / "sources.json").read_text())
    assert {"libc6", "libssl3t64", "libpython3.13-stdlib"} <= sources["debian"].keys()
    assert sources["wheels"]["wasmtime"].endswith("x86_64.whl")
    assert {"pytest", "mypy", "pip"} & sources["wheels"].keys() == set()


@pytest.mark.timeout(900)
def test_second_build_gives_the_same_bytes(tmp_path: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "runtimeclass.bundle", "--output", tmp_path]
    for more in ([], ["--image"]):
        subprocess.run([*command, *more], check=True, cwd=ROOT, umask=0o077, capture_output=True)
    for ending in (".tar.gz", ".oci.tar"):
        first, second = (each / f"{BUILT.name}{ending}" for each in (BUILT.parent, tmp_path))
        assert first.read_bytes() == second.read_bytes(), ending
