"""`-info` and `-v`: what this runtime is (containerd api/types/introspection.proto,
RuntimeInfo)."""

import shim
from shim.api import info_pb2

NAME = "io.containerd.tandem.v1"


def runtime_info() -> bytes:
    """The RuntimeInfo message that `-info` prints.

    `features` is left out: containerd 2.1 dereferences a document without a linux section.
    """
    info = info_pb2.RuntimeInfo(name=NAME)
    info.version.version = shim.__version__
    return info.SerializeToString()


def version_text() -> bytes:
    """What `-v` prints, for people."""
    return f"containerd-shim-tandem-v1:\n  Version: {shim.__version__}\n".encode()
