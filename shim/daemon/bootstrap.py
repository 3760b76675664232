"""What containerd writes to the stdin of `start`: nothing, its runtime options, or, since 2.3, a
BootstrapParams message that holds them.

Rules: no I/O; what cannot be read is nothing, since Create, which gets the options too, refuses
them with a better text. Source: containerd api/runtime/bootstrap/v1 and pkg/shim/compat.go.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from shim.api import bootstrap_pb2, options_pb2, runc_options_pb2

_RUNC = "containerd.runc.v1.Options"
_GENERIC = "runtimeoptions.v1.Options"


@dataclass(frozen=True, slots=True)
class StartInput:
    """What it said.

    `containerd_version` is None unless a BootstrapParams said it; `shim_cgroup` is empty where no
    cgroup was asked for.
    """

    containerd_version: str | None = None
    shim_cgroup: str = ""


def parse_start_input(data: bytes, instance_id: str, namespace: str) -> StartInput:
    """Read stdin, given the call's -id and -namespace.

    The fields of Any and BootstrapParams parse as each other's, so that a BootstrapParams is one
    only if it names this very call.
    """
    if not data:
        return StartInput()
    try:
        params = bootstrap_pb2.BootstrapParams.FromString(data)
        if (params.instance_id, params.namespace) == (instance_id, namespace):
            groups = (_shim_cgroup(extension.value) for extension in params.extensions)
            return StartInput(params.containerd_version, next(filter(None, groups), ""))
    except DecodeError:
        pass
    try:
        return StartInput(shim_cgroup=_shim_cgroup(Any.FromString(data)))
    except DecodeError:
        return StartInput()


def _shim_cgroup(options: Any) -> str:
    kind = options.type_url.rpartition("/")[2]
    try:
        if kind == _RUNC:
            return runc_options_pb2.Options.FromString(options.value).shim_cgroup
        if kind.endswith(_GENERIC):
            body = options_pb2.Options.FromString(options.value).config_body
            return next(_texts(tomllib.loads(body.decode()), "ShimCgroup"), "")
    except (DecodeError, ValueError, RecursionError):
        pass
    return ""


def _texts(table: dict[str, object], key: str) -> Iterator[str]:
    value = table.get(key)
    if isinstance(value, str):
        yield value
