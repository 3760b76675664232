"""CRIU's part of a Linux container's life: what `checkpoint` and `restore` are told.

Rules: where the node has no CRIU, both are unimplemented, and say so before anything is touched.
Source: runc-checkpoint(8), runc-restore(8), containerd pkg/process/init.go.
"""

import shutil

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from shim.api import runc_options_pb2
from shim.errdefs import InvalidArgumentError, UnimplementedError

_FLAGS = (
    ("open_tcp", "--tcp-established"),
    ("external_unix_sockets", "--ext-unix-sk"),
    ("terminal", "--shell-job"),
    ("file_locks", "--file-locks"),
)


def check_criu(search_path: str) -> None:
    """Raise where the OCI runtime will not find CRIU.

    Raises:
        UnimplementedError: it is not in `search_path`.
    """
    if shutil.which("criu", path=search_path) is None:
        raise UnimplementedError("checkpoint and restore need criu, which this node does not have")


def checkpoint_flags(path: str, options: Any, search_path: str) -> list[str]:
    """The flags of `checkpoint`; `options` is containerd's CheckpointOptions, or nothing.

    Raises:
        UnimplementedError: this node has no CRIU.
        InvalidArgumentError: the options cannot be decoded.
    """
    check_criu(search_path)
    try:
        given = runc_options_pb2.CheckpointOptions.FromString(options.value)
    except DecodeError as error:
        raise InvalidArgumentError("the checkpoint options cannot be decoded") from error
    flags = ["--image-path", path]
    flags += ["--work-path", given.work_path] if given.work_path else []
    flags += ["--parent-path", given.parent_path] if given.parent_path else []
    flags += [flag for name, flag in _FLAGS if getattr(given, name)]
    for namespace in given.empty_namespaces:
        flags += ["--empty-ns", namespace]
    return flags if given.exit else [*flags, "--leave-running"]


def restore_flags(checkpoint: str, search_path: str) -> list[str]:
    """The flags of `restore` for what a checkpoint has left at a path.

    Raises:
        UnimplementedError: this node has no CRIU.
    """
    check_criu(search_path)
    return ["--image-path", checkpoint, "--no-subreaper"]
