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
class StartPlan:
    """What a `start` call comes down to."""

    namespace: str
    group: str
    bundle: Path
    socket_path: Path
    reply: bytes
    ttrpc_address: str
    env: dict[str, str]
    run_dir: RunDir
    config_path: Path


def plan_start(params: Params, request: Request, run_dir: RunDir, view: Path) -> StartPlan:
    """Read the bundle, seen at `view`, and name the pod's socket; changes nothing.

    Raises:
        InvalidArgumentError: the bundle's config.json is unusable.
    """
    env = request.env_map()
    bundle = Path(request.cwd)
    group = _group(view, bundle, params.id)
    path = run_dir.task_socket(params.address, params.namespace, group)
    return StartPlan(
        namespace=params.namespace,
        group=group,
        bundle=bundle,
        socket_path=path,
        reply=encode_address(f"unix://{path}", Caller.from_env(env)),
        ttrpc_address=env.get("TTRPC_ADDRESS") or params.address + ".ttrpc",
        env=env,
        run_dir=run_dir,
        config_path=Path(env.get(PATH_VARIABLE) or DEFAULT_PATH),
    )


def join(plan: StartPlan, view: Path) -> bool:
    """Whether the pod has a shim already; the bundle, seen at `view`, then holds its address."""
    with sockets.locked(plan.run_dir):
        if not plan.socket_path.exists() or not sockets.is_alive(plan.socket_path):
            return False
    _write_address(view, plan.socket_path)
    return True


def begin(plan: StartPlan) -> Pod | None:
    """Bind the pod's socket; None where another call has done so meanwhile.

    Raises:
        InvalidArgumentError: the node's configuration is unusable.
    """
    config = load_config(plan.config_path)
    # Before the socket: where this fails, none is left that nobody serves.
    _write_address(plan.bundle, plan.socket_path)
    listener = sockets.bind_or_find(plan.run_dir, plan.socket_path)
    if listener is None:
        return None
    return Pod(
        listener=listener,
        socket_path=plan.socket_path,
        namespace=plan.namespace,
        group=plan.group,
        bundle=plan.bundle,
        ttrpc_address=plan.ttrpc_address,
        env=plan.env,
        run_dir=plan.run_dir,
        config=config,
    )


def _group(view: Path, bundle: Path, container_id: str) -> str:
    try:
        spec = parse_spec((view / "config.json").read_bytes())
    except OSError as error:
        name = os.fspath(bundle)[:200]
        raise InvalidArgumentError(f"bundle {name}: config.json: {error.strerror}") from error
    for name in _GROUP_ANNOTATIONS:
        if spec.annotations.get(name):
            return spec.annotations[name]
    return container_id


def _write_address(bundle: Path, socket_path: Path) -> None:
    """Leave the address where containerd 1.x looks for it after a restart, whole or not at all."""
    fd = os.open(bundle / ".address", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"unix://{socket_path}".encode())
    finally:
        os.close(fd)
    (bundle / ".address").rename(bundle / "address")
