"""bundle.json."""

import json
from pathlib import Path

from runtimeclass.bundle.manifest import normalize, write

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_every_file_is_named_with_digest_and_mode(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir(mode=0o700)
    (tmp_path / "bin/run").touch(mode=0o700)
    (tmp_path / "data").touch(mode=0o600)
    (tmp_path / "link").symlink_to("data")
    normalize(tmp_path)
    write(tmp_path, "1.2", "amd64")
    first = (tmp_path / "bundle.json").read_text()
    assert json.loads(first) == {
        "arch": "amd64",
        "files": {
            "bin/run": {"mode": 0o755, "sha256": EMPTY},
            "data": {"mode": 0o644, "sha256": EMPTY},
            "link": {"link": "data"},
        },
        "version": "1.2",
    }
    assert (tmp_path / "bin").stat().st_mode & 0o777 == 0o755
    write(tmp_path, "1.2", "amd64")
    assert (tmp_path / "bundle.json").read_text() == first
