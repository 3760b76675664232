"""Runtime options as containerd hands them to Create: an Any of one of two messages, or none.

Rules: unknown types are ignored, since newer containerds send their own; a TOML named or carried
by the options is our configuration file's form and overrides the node's for this container.
"""

from pathlib import Path

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from shim.api import options_pb2, runc_options_pb2
from shim.config import Config, load_config, parse_config
from shim.errdefs import InvalidArgumentError
from shim.linux.runtime import RuntimeOptions

_RUNC = "containerd.runc.v1.Options"
_GENERIC = "runtimeoptions.v1.Options"


def runtime_options(options: Any, config: Config, default_root: Path) -> RuntimeOptions:
    """Which OCI runtime a container gets.

    Raises:
        InvalidArgumentError: the options cannot be decoded, or their configuration is unusable.
    """
    kind = options.type_url.rpartition("/")[2]
    try:
        if kind == _RUNC and options.value:
            return _from_runc(
                runc_options_pb2.Options.FromString(options.value), config, default_root
            )
        if kind.endswith(_GENERIC):
            config = _overridden(options_pb2.Options.FromString(options.value), config)
    except DecodeError as error:
        raise InvalidArgumentError(f"runtime options of type {kind} cannot be decoded") from error
    return RuntimeOptions(
        binary=config.linux.runtime,
        root=default_root,
        systemd_cgroup=config.linux.systemd_cgroup,
    )


def _from_runc(
    options: runc_options_pb2.Options, config: Config, default_root: Path
) -> RuntimeOptions:
    root = Path(options.root) / default_root.name if options.root else default_root
    return RuntimeOptions(
        binary=options.binary_name or config.linux.runtime,
        root=root,
        systemd_cgroup=options.systemd_cgroup or config.linux.systemd_cgroup,
        no_pivot_root=options.no_pivot_root,
        no_new_keyring=options.no_new_keyring,
    )


def _overridden(options: options_pb2.Options, config: Config) -> Config:
    if options.config_path:
        return load_config(Path(options.config_path))
    if options.config_body:
        text = options.config_body.decode(errors="replace")
        return parse_config(text, name="in the runtime options")
    return config
