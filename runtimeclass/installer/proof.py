"""The proof that guests run: one, through containerd, in containerd's own words.

Rules: no image, no pull, no sandbox that kubelet would take for a stray one: a container of a
namespace of our own, whose root directory is one of ours, and a guest that ends with a status
that nothing else ends with. Nothing of it stays, whatever happens: what a killed installer left is
swept by the next call. Sources: containerd's API, services containers.v1, tasks.v1 and
namespaces.v1; WASI 0.1, proc_exit.
"""

import contextlib
import json
import secrets
from collections.abc import Iterator

import grpc
from google.protobuf.message import Message

from runtimeclass.api import containerd_pb2 as api
from runtimeclass.installer.bundle import STATE
from runtimeclass.installer.errors import ProofError
from runtimeclass.installer.files import Content, Files
from runtimeclass.installer.host import Host
from runtimeclass.installer.toml_edit import RUNTIME_TYPE

NAMESPACE = "tandem-proof"
_STATUS = 42
_GUEST = f"""\
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $exit (i32.const {_STATUS}))))
"""
_NAME = "proof.wat"
_SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
_CLEANUP_S = 10.0
_NOBODY = 65534


def prove(host: Host, files: Files, channel: grpc.Channel, path: str, timeout_s: float) -> None:
    """Run the guest.

    Args:
        host: the node.
        files: to write what the guest needs.
        channel: containerd's socket.
        path: of the shim's binary, if containerd is told it; else empty.
        timeout_s: for each call.

    Raises:
        ProofError: it does not run, or not to its end; the text has the reason that containerd, the
            shim or the guest gives.
        HostError: the guest's files cannot be written.
    """
    directory = f"{STATE}/proof"
    files.remove_tree(host.path(directory))
    try:
        for each in (directory, f"{directory}/rootfs"):
            files.make_directory(host.path(each))
        files.write(host.path(f"{directory}/rootfs/{_NAME}"), Content(_GUEST.encode()))
        with _guest(channel, f"{NAMESPACE}-{secrets.token_hex(4)}", timeout_s) as guest:
            status = guest.run(f"{directory}/rootfs", f"file://{directory}/log", path)
            log = (host.read(f"{directory}/log") or "").strip()
    except grpc.RpcError as error:
        reason = error.details() if isinstance(error, grpc.Call) else str(error)
        raise ProofError(
            f"containerd cannot run a guest with {RUNTIME_TYPE}: {reason}; see containerd's journal"
        ) from None
    finally:
        files.remove_tree(host.path(directory))
    if status != _STATUS:
        raise ProofError(
            f"the guest that proves that guests run ended with {status} in place of {_STATUS}:"
            f" {log or 'it said nothing'}; `tandem doctor` on the node says what it lacks"
        )


def sweep(channel: grpc.Channel) -> None:
    """Remove the guests of installers that were killed, whose shims would pass for pods'.

    A containerd that does not answer keeps them.
    """
    with contextlib.suppress(grpc.RpcError):
        _Guest(channel, "", _CLEANUP_S).remove_all()


class _Guest:
    """The one container, by its id."""

    def __init__(self, channel: grpc.Channel, name: str, timeout_s: float) -> None:
        self._channel = channel
        self._name = name
        self._timeout_s = timeout_s

    def run(self, rootfs: str, log: str, path: str) -> int:
        container = api.Container(id=self._name, runtime=api.Runtime(name=RUNTIME_TYPE))
        container.spec.type_url = _SPEC_TYPE
        container.spec.value = json.dumps(self._spec()).encode()
        self._call(
            "containers", "Containers/Create", api.CreateContainerRequest(container=container)
        )
        mount = api.Mount(type="bind", source=rootfs, options=["rbind", "ro"])
        task = api.CreateTaskRequest(
            container_id=self._name, rootfs=[mount], stdout=log, stderr=log, runtime_path=path
        )
        self._call("tasks", "Tasks/Create", task)
        self._call("tasks", "Tasks/Start", api.StartRequest(container_id=self._name))
        raw = self._call("tasks", "Tasks/Wait", api.WaitRequest(container_id=self._name))
        return api.WaitResponse.FromString(raw).exit_status

    def remove_all(self) -> None:
        """Remove every guest of the namespace, an earlier installer's too, and itself."""
        raw = self._call("containers", "Containers/List", api.ListContainersRequest())
        names = {each.id for each in api.ListContainersResponse.FromString(raw).containers}
        # A task that was being created when its installer was killed may outlive its container.
        raw = self._call("tasks", "Tasks/List", api.ListTasksRequest())
        names |= {each.id for each in api.ListTasksResponse.FromString(raw).tasks}
        for name in names:
            kill = api.KillRequest(container_id=name, signal=9, all=True)
            self._try("tasks", "Tasks/Kill", kill)
            self._try("tasks", "Tasks/Wait", api.WaitRequest(container_id=name))
            self._try("tasks", "Tasks/Delete", api.DeleteTaskRequest(container_id=name))
            self._try("containers", "Containers/Delete", api.DeleteContainerRequest(id=name))
        self._try("namespaces", "Namespaces/Delete", api.DeleteNamespaceRequest(name=NAMESPACE))

    def _spec(self) -> dict[str, object]:
        """Nobody, in namespaces of its own, with a root directory that cannot be written."""
        kinds = ("mount", "ipc", "uts", "network")
        return {
            "ociVersion": "1.0.2",
            "process": {
                "args": [f"/{_NAME}"],
                "cwd": "/",
                "user": {"uid": _NOBODY, "gid": _NOBODY},
                "noNewPrivileges": True,
            },
            "root": {"path": "rootfs", "readonly": True},
            "linux": {
                "cgroupsPath": f"/{self._name}",
                "namespaces": [{"type": kind} for kind in kinds],
            },
        }

    def _try(self, service: str, method: str, request: Message) -> None:
        with contextlib.suppress(grpc.RpcError):
            self._call(service, method, request, _CLEANUP_S)

    def _call(
        self, service: str, method: str, request: Message, timeout_s: float | None = None
    ) -> bytes:
        call = self._channel.unary_unary(f"/containerd.services.{service}.v1.{method}")
        answer: bytes = call(
            request.SerializeToString(),
            timeout=timeout_s or self._timeout_s,
            metadata=[("containerd-namespace", NAMESPACE)],
        )
        return answer


@contextlib.contextmanager
def _guest(channel: grpc.Channel, name: str, timeout_s: float) -> Iterator[_Guest]:
    guest = _Guest(channel, name, timeout_s)
    guest.remove_all()
    try:
        yield guest
    finally:
        sweep(channel)
