"""Runtime options as containerd hands them to Create: an Any of one of two messages, or none.

Rules: unknown types are ignored, since newer containerds send their own; a TOML that the options
name or carry overrides the node's configuration for this container. It is our configuration file's
form, or holds the options that containerd's documentation gives for runc, under runc's names, which
is what a runtime handler's `options` table comes down to since containerd 1.7.
"""

from collections.abc import Mapping
from pathlib import Path

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from shim.api import options_pb2, runc_options_pb2
from shim.config import Config, config_of, load_config, parse_toml
from shim.errdefs import InvalidArgumentError
from shim.linux.runtime import RuntimeOptions

_RUNC = "containerd.runc.v1.Options"
_GENERIC = "runtimeoptions.v1.Options"
_NAME = "in the runtime options"
# As containerd's TOML spells them: containerd docs/cri/config.md, "runtimes.runc.options".
_RUNC_NAMES = {
    "BinaryName": "binary_name",
    "IoGid": "io_gid",
    "IoUid": "io_uid",
    "NoNewKeyring": "no_new_keyring",
    "NoPivotRoot": "no_pivot_root",
    "Root": "root",
    "ShimCgroup": "shim_cgroup",
    "SystemdCgroup": "systemd_cgroup",
}


def runtime_options(options: Any, config: Config, default_root: Path) -> RuntimeOptions:
    """Which OCI runtime a container gets.

    Raises:
        InvalidArgumentError: the options cannot be decoded, or their configuration is unusable.
    """
    kind = options.type_url.rpartition("/")[2]
    try:
        if kind == _RUNC and options.value:
            given = runc_options_pb2.Options.FromString(options.value)
            return _chosen(given, config, default_root)
        if kind.endswith(_GENERIC):
            return _from_generic(
                options_pb2.Options.FromString(options.value), config, default_root
            )
    except DecodeError as error:
        raise InvalidArgumentError(f"runtime options of type {kind} cannot be decoded") from error
    return _chosen(runc_options_pb2.Options(), config, default_root)


def _chosen(
    options: runc_options_pb2.Options, config: Config, default_root: Path
) -> RuntimeOptions:
    return RuntimeOptions(
        binary=options.binary_name or config.linux.runtime,
        root=Path(options.root) / default_root.name if options.root else default_root,
        systemd_cgroup=options.systemd_cgroup or config.linux.systemd_cgroup,
        no_pivot_root=options.no_pivot_root,
        no_new_keyring=options.no_new_keyring,
        io_owner=(options.io_uid, options.io_gid),
    )


def _from_generic(
    options: options_pb2.Options, config: Config, default_root: Path
) -> RuntimeOptions:
    runcs: dict[str, object] = {}
    if options.config_path:
        config = load_config(Path(options.config_path))
    elif options.config_body:
        document = parse_toml(options.config_body.decode(errors="replace"), name=_NAME)
        document.pop("TypeUrl", None)
        runcs = {name: document.pop(name) for name in _RUNC_NAMES if name in document}
        if document:
            config = config_of(document, name=_NAME)
    return _chosen(_runc_options(runcs), config, default_root)


def _runc_options(values: Mapping[str, object]) -> runc_options_pb2.Options:
    options = runc_options_pb2.Options()
    for name, value in values.items():
        try:
            setattr(options, _RUNC_NAMES[name], value)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentError(f"runtime options: {name} cannot be {value!r}") from error
    return options
