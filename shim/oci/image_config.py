"""The config of an image or a Wasm artifact: what it says of its process and its platform.

Rules: pure. Under containerd nobody needs it: CRI and ctr have put it into config.json. Source:
image-spec, config.md, and the CNCF's Wasm OCI artifact, which has the platform alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shim.oci.document import Node, load_foreign_json

MAX_CONFIG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of the process that runs it; `env` holds `NAME=value`."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    os: str = ""
    architecture: str = ""


def parse_config(document: bytes) -> ImageConfig:
    """Read the config of an image, or of a Wasm artifact; an empty blob says nothing.

    Raises:
        InvalidArgumentError: it is no config, or a member has the wrong type.
    """
    if not document:
        # wasm-to-oci writes such a one
        return ImageConfig()
    top = Node(load_foreign_json(document, "config", MAX_CONFIG_BYTES), "", "image config: ")
    process = top.node("config")
    return ImageConfig(
        entrypoint=process.of("Entrypoint", str),
        cmd=process.of("Cmd", str),
        env=process.of("Env", str),
        working_dir=process.get("WorkingDir", str, ""),
        user=process.get("User", str, ""),
        labels=process.string_map("Labels"),
        os=top.get("os", str, "").lower(),
        architecture=top.get("architecture", str, "").lower(),
    )
