"""What distributions make containerd's configuration of, at each start: stand-ins for their code.

k3s and rke2 execute a template in Go's language, whose template "base" is the configuration that
they write without one; k0s merges the CRI tables of a directory's files; microk8s fills in the
variables of its template. Sources: the distributions' documentation.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import tomlkit

from tests.node.roots import BASE, Root

K0S_CRI = "/run/k0s/containerd-cri.toml"
_VARIABLES = {"SNAPSHOTTER": "overlayfs", "RUNTIME": "runc", "SNAP_DATA": "/var/snap/microk8s/1"}


def render(root: Root, node: Path) -> None:
    """Write what this distribution's containerd is started with, where it is made of others."""
    config = node / root.config.lstrip("/")
    target = node / root.target.lstrip("/")
    if root.target.endswith(".tmpl"):
        if target.exists():
            text = target.read_text().replace(BASE, root.files[root.config])
            config.write_text(re.sub(r"\{\{.*?\}\}", "", text))
        else:
            config.write_text(root.files[root.config])
    elif root.layout == "microk8s":
        config.write_text(
            re.sub(r"\$\{(\w+)\}", lambda found: _VARIABLES[found[1]], target.read_text())
        )
    elif root.target.startswith("/etc/k0s/containerd.d/"):
        merged = tomllib.loads(root.files[K0S_CRI])
        for path in sorted(target.parent.glob("*.toml")):
            _merge(merged, tomllib.loads(path.read_text()))
        (node / K0S_CRI.lstrip("/")).write_text(tomlkit.dumps(merged))


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
