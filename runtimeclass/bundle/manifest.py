"""bundle.json: what a bundle is, and every file of it.

Rules: sorted, and the same for the same files. Modes are made one of two, whatever the umask of who
builds. The installer believes a copy of a bundle when each file is as this document says.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

NAME = "bundle.json"


def normalize(root: Path) -> None:
    """Give directories and executables mode 0755, all other files 0644."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if executable else 0o644)


def write(root: Path, version: str, arch: str) -> None:
    """Write the manifest of a directory into it."""
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            files[name] = {"link": str(path.readlink())}
        elif path.is_file() and name != NAME:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            files[name] = {"mode": path.stat().st_mode & 0o777, "sha256": digest}
    document = {"arch": arch, "files": files, "version": version}
    (root / NAME).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    (root / NAME).chmod(0o644)
