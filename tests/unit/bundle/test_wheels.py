"""Which wheels, of which versions, and what of them."""

import zipfile
from pathlib import Path

import pytest

from runtimeclass.bundle.arch import ARCHES
from runtimeclass.bundle.failure import BuildError
from runtimeclass.bundle.wheels import locked, needed, unpack

LOCK = """\
# made by a tool
click==8.5.1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via tandem
rich==15.0.0 \\
    --hash=sha256:cc

# The following packages are considered to be unsafe
pip==26.3 \\
    --hash=sha256:dd
"""


def test_run_time_and_installer_are_needed_and_nothing_of_development() -> None:
    names = needed(ARCHES["amd64"])
    assert {"wasmtime", "protobuf", "tomlkit", "jeepney", "urllib3"} <= names
    assert {"tandem", "pytest", "mypy", "setuptools", "pygments"} & names == set()
    assert names == needed(ARCHES["arm64"])


def test_lock_gives_versions_and_hashes() -> None:
    found = locked(LOCK, {"rich", "click"})
    assert {name: version for name, (version, _) in found.items()} == {
        "click": "8.5.1",
        "rich": "15.0.0",
    }
    assert found["click"][1].count("--hash") == 2
    assert found["rich"][1].count("--hash") == 1


def test_what_the_lock_does_not_have_is_named() -> None:
    with pytest.raises(BuildError, match="does not have tomlkit: run make lock"):
        locked(LOCK, {"click", "tomlkit"})


def wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name)
    return path


def test_what_no_node_reads_is_left_out(tmp_path: Path) -> None:
    kept = ("a/__init__.py", "a/_a.abi3.so", "a/data.json", "a-1.dist-info/METADATA")
    dropped = ("a/a.pyi", "a/tests/test_a.py", "a-1.data/scripts/a", "a-1.dist-info/RECORD")
    unpack([wheel(tmp_path / "a.whl", *kept, *dropped)], tmp_path / "site")
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(tmp_path / "site")) for path in files) == sorted(kept)


def test_two_wheels_may_not_have_one_file(tmp_path: Path) -> None:
    first, second = wheel(tmp_path / "a.whl", "x.py"), wheel(tmp_path / "b.whl", "x.py")
    with pytest.raises(BuildError, match=r"b\.whl: x\.py is another wheel's, too"):
        unpack([first, second], tmp_path / "site")
