"""`start`: the address of the pod's shim, which is found or made.

Rules: silent; the socket listens before its address is answered (containerd dials once); no import
of the server's side here, since the answer goes out before that is needed. A pod is answered as it
was begun: whether it is behind gRPC is told by its gateway's socket, not by a configuration that
may have changed since.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from shim import sockets
from shim.config import DEFAULT_PATH, PATH_VARIABLE, Config, load_config
from shim.daemon.bootstrap import StartInput, parse_start_input
from shim.daemon.containerd import refusal, require_grpc_support
from shim.daemon.gateway import NewGateway
from shim.daemon.params import Params
from shim.daemon.reply import Caller, encode_address, encode_grpc_address
from shim.daemon.request import Request
from shim.daemon.shim_cgroup import join_shim_cgroup
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import parse_spec
from shim.pod.params import Pod
from shim.rundir import RunDir, gateway_socket

# The first that is present names the group; without one, a container is its own group.
_GROUP_ANNOTATIONS = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")


@dataclass(frozen=True, slots=True)
class StartPlan:
    """What a `start` call comes down to."""

    namespace: str
    group: str
    bundle: Path
    socket_path: Path
    address: str
    caller: Caller
    input: StartInput
    publish_binary: str
    ttrpc_address: str
    env: dict[str, str]
    run_dir: RunDir
    config_path: Path


@dataclass(frozen=True, slots=True)
class Started:
    """What to answer, and the pod to serve; None where another call has begun it meanwhile."""

    reply: bytes
    pod: Pod | None


def plan_start(params: Params, request: Request, run_dir: RunDir, view: Path) -> StartPlan:
    """Read the bundle, seen at `view`, and name the pod's socket; changes nothing.

    Raises:
        InvalidArgumentError: the bundle's config.json is unusable.
    """
    env = request.env_map()
    bundle = Path(request.cwd)
    group = _group(view, bundle, params.id)
    return StartPlan(
        namespace=params.namespace,
        group=group,
        bundle=bundle,
        socket_path=run_dir.task_socket(params.address, params.namespace, group),
        address=params.address,
        caller=Caller.from_env(env),
        input=parse_start_input(request.stdin, params.id, params.namespace),
        publish_binary=params.publish_binary,
        ttrpc_address=env.get("TTRPC_ADDRESS") or params.address + ".ttrpc",
        env=env,
        run_dir=run_dir,
        config_path=Path(env.get(PATH_VARIABLE) or DEFAULT_PATH),
    )


def join(plan: StartPlan, view: Path) -> bytes | None:
    """The answer where the pod has a shim already: the bundle, seen at `view`, then holds its
    address.

    Raises:
        FailedPreconditionError: the pod is behind gRPC, which this containerd cannot use.
    """
    path = plan.socket_path
    with sockets.locked(plan.run_dir):
        if not path.exists() or sockets.has_lost_gateway(path) or not sockets.is_alive(path):
            return None
        has_gateway = gateway_socket(path).exists()
    return _answer(plan, view, has_gateway=has_gateway)


def begin(plan: StartPlan) -> Started:
    """Bind the pod's socket, with a gateway before it where the node is configured so.

    Raises:
        InvalidArgumentError: the node's configuration is unusable.
        FailedPreconditionError: this containerd cannot use a shim over gRPC, or the shim's cgroup
            cannot be joined.
        InternalError: the gateway does not start.
    """
    config = load_config(plan.config_path)
    if plan.input.shim_cgroup:
        join_shim_cgroup(plan.input.shim_cgroup)
    if config.shim.transport == "grpc":
        return _begin_with_gateway(plan, config)
    # Before the socket: where this fails, none is left that nobody serves.
    reply = _answer(plan, plan.bundle, has_gateway=False)
    listener = sockets.bind_or_find(plan.run_dir, plan.socket_path)
    return Started(reply, _pod(plan, config, listener) if listener else None)


def _begin_with_gateway(plan: StartPlan, config: Config) -> Started:
    _require_grpc_by_environment(plan)
    reply = _answer(plan, plan.bundle, has_gateway=True)
    gateway = NewGateway(plan.run_dir, plan.socket_path)
    try:
        # While the gateway starts.
        require_grpc_support(plan.publish_binary)
        gateway.wait_until_ready()
        # Whoever finds the pod's socket finds its gateway's, too.
        with sockets.locked(plan.run_dir):
            listener = sockets.bind_unless_alive(plan.socket_path)
            if listener is not None:
                gateway.publish()
    except BaseException:
        gateway.discard()
        raise
    if listener is None:
        gateway.discard()
        return Started(reply, None)
    return Started(reply, _pod(plan, config, listener, gateway.lifeline))


def _pod(
    plan: StartPlan,
    config: Config,
    listener: socket.socket,
    lifeline: socket.socket | None = None,
) -> Pod:
    return Pod(
        listener=listener,
        socket_path=plan.socket_path,
        address=plan.address,
        namespace=plan.namespace,
        group=plan.group,
        bundle=plan.bundle,
        ttrpc_address=plan.ttrpc_address,
        env=plan.env,
        run_dir=plan.run_dir,
        config=config,
        lifeline=lifeline,
    )


def _answer(plan: StartPlan, view: Path, *, has_gateway: bool) -> bytes:
    """What to print; the bundle then holds the address, too."""
    address = f"unix://{plan.socket_path}"
    if not has_gateway:
        _write_address(view, address.encode())
        return encode_address(address, plan.caller)
    _require_grpc_by_environment(plan)
    reply = encode_grpc_address(gateway_socket(plan.socket_path))
    # All of it: containerd 1.7 reads the file as it reads what is printed.
    _write_address(view, reply)
    return reply


def _require_grpc_by_environment(plan: StartPlan) -> None:
    """What a containerd says of itself unasked; 1.7 and 2.0-2.2 say the same."""
    if not plan.caller.reads_json:
        raise refusal("1.6", older=True)
    if plan.input.containerd_version is not None:
        raise refusal(plan.input.containerd_version or "2", older=False)


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


def _write_address(bundle: Path, address: bytes) -> None:
    """Leave the address where containerd 1.x looks for it after a restart, whole or not at all."""
    fd = os.open(bundle / ".address", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, address)
    finally:
        os.close(fd)
    (bundle / ".address").rename(bundle / "address")
