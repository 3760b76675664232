"""What all containers of a pod have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shim.config import Config
from shim.process.reaper import Reaper


@dataclass(frozen=True, slots=True)
class Node:
    """The node, as one pod shim of one containerd namespace sees it; `address` is containerd's gRPC
    socket."""

    engine: Any
    compatibility_key: str
    config: Config
    env: Mapping[str, str]
    address: str
    namespace: str
    oci_runtime_root: Path
    reaper: Reaper
