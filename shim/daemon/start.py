"""`start`: the address of the pod's shim, which is found or made.

Rules: silent; the socket listens before its address is answered (containerd dials once); no import
of the server's side here, since the answer goes out before that is needed.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from shim import sockets
from shim.config import DEFAULT_PATH, PATH_VARIABLE, load_config
from shim.daemon.params import Params
from shim.daemon.reply import Caller, encode_address
from shim.daemon.request import Request
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import parse_spec
from shim.pod.params import Pod
from shim.rundir import RunDir

# The first that is present names the group; without one, a container is its own group.
_GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")


@dataclass(frozen=True, slots=True)
class Started:
    """The bytes to answer, and the pod shim to become, unless one is alive already."""

    reply: bytes
    pod: Pod | None


def start(params: Params, request: Request, run_dir: RunDir) -> Started:
    """Find or bind the pod's socket.

    Raises:
        InvalidArgumentError: the bundle's config.json or the node's configuration is unusable.
    """
    bundle = Path(request.cwd)
    env = request.env_map()
    config = load_config(Path(env.get(PATH_VARIABLE) or DEFAULT_PATH))
    group = _group(bundle, params.id)
    path = run_dir.task_socket(params.address, params.namespace, group)
    address = f"unix://{path}"
    # Before the socket: where this fails, none is left that nobody serves.
    _write_address(bundle, address)
    listener = sockets.bind_or_find(run_dir, path)
    reply = encode_address(address, Caller.from_env(env))
    if listener is None:
        return Started(reply, None)
    return Started(
        reply,
        Pod(
            listener=listener,
            socket_path=path,
            namespace=params.namespace,
            group=group,
            bundle=bundle,
            ttrpc_address=env.get("TTRPC_ADDRESS") or params.address + ".ttrpc",
            env=env,
            run_dir=run_dir,
            config=config,
        ),
    )


def _group(bundle: Path, container_id: str) -> str:
    try:
        spec = parse_spec((bundle / "config.json").read_bytes())
    except OSError as error:
        name = os.fspath(bundle)[:200]
        raise InvalidArgumentError(f"bundle {name}: config.json: {error.strerror}") from error
    for name in _GROUP_ANNOTATIONS:
        if spec.annotations.get(name):
            return spec.annotations[name]
    return container_id


def _write_address(bundle: Path, address: str) -> None:
    """Leave the address where containerd 1.x looks for it after a restart, whole or not at all."""
    fd = os.open(bundle / ".address", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, address.encode())
    finally:
        os.close(fd)
    (bundle / ".address").rename(bundle / "address")
