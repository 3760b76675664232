"""A path that is short enough for a socket's address."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tdi-"))
    yield folder / "s"
    shutil.rmtree(folder)
