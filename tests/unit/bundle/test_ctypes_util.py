"""Libraries by name, in a bundle's own directory."""

import sys
from pathlib import Path

import pytest

from runtimeclass.bundle.ctypes_util import find_library


@pytest.mark.parametrize(
    ("name", "found"), [("seccomp", "libseccomp.so.2"), ("c", "libc.so.6"), ("other", None)]
)
def test_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, found: str) -> None:
    (tmp_path / "lib").mkdir()
    for each in ("libc.so.6", "libcrypto.so.3", "libseccomp.so.2"):
        (tmp_path / "lib" / each).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "python"))
    assert find_library(name) == found
