"""containerd, as its socket answers: its version, the handlers that CRI has, the pods that run.

Rules: asks, changes nothing. What CRI says of its own configuration is the rendered one, whatever
files it was made of, and so the only judge of whether a change arrived. Names: CRI runtime.v1;
the JSON of its verbose Status is that of containerd 1.6, 1.7 and 2.1.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from runtimeclass.api import cri_pb2
from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.toml_edit import HANDLER, Handler

_SERVICE = "/runtime.v1.RuntimeService/"
_TIMEOUT_S = 10.0
# As CRI's JSON calls what the TOML calls otherwise.
_JSON_NAMES = {
    "runtime_type": "runtimeType",
    "runtime_path": "runtimePath",
    "pod_annotations": "PodAnnotations",
    "container_annotations": "ContainerAnnotations",
}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod that is ready, of the handler that is asked for."""

    id: str
    name: str
    namespace: str


class Cri:
    """A connection to one socket, to be used in a with statement."""

    def __init__(self, socket: Path) -> None:
        """Not connected until the first call; a restart of containerd is survived."""
        self._socket = socket
        options = [("grpc.max_reconnect_backoff_ms", 500), ("grpc.enable_retries", 0)]
        # A path of any length: that of a socket below --root may be too long for an address.
        self._channel = grpc.insecure_channel(f"unix:{socket}", options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    @property
    def channel(self) -> grpc.Channel:
        """For containerd's own services."""
        return self._channel

    def version(self) -> tuple[int, ...]:
        """Containerd's version.

        Raises:
            NodeError: it does not answer, is not containerd, or is older than 1.6.
        """
        answer = cri_pb2.VersionResponse.FromString(self._ask("Version", cri_pb2.VersionRequest()))
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", answer.runtime_version)
        if answer.runtime_name != "containerd" or found is None:
            runtime = f"{answer.runtime_name} {answer.runtime_version}"
            raise NodeError(f"{self._socket} is {runtime}, and Tandem is for containerd")
        version = tuple(map(int, found.groups()))
        if version < (1, 6):
            raise NodeError(
                f"containerd {answer.runtime_version} is too old: upgrade to 1.6 or later"
            )
        return version

    def runtimes(self) -> dict[str, Mapping[str, Any]]:
        """The entries of the running configuration's runtimes table.

        Raises:
            NodeError: CRI does not answer, or does not say.
        """
        request = cri_pb2.StatusRequest(verbose=True)
        answer = cri_pb2.StatusResponse.FromString(self._ask("Status", request))
        try:
            runtimes: dict[str, Mapping[str, Any]] = json.loads(answer.info["config"])[
                "containerd"
            ]["runtimes"]
        except (ValueError, KeyError, TypeError) as error:
            raise NodeError(f"CRI at {self._socket} does not say which runtimes it has") from error
        return runtimes or {}

    def sandboxes(self) -> list[Sandbox]:
        """The pods of our handler that are ready.

        Raises:
            NodeError: CRI does not answer.
        """
        request = cri_pb2.ListPodSandboxRequest()
        raw = self._ask("ListPodSandbox", request)
        answer = cri_pb2.ListPodSandboxResponse.FromString(raw)
        return [
            Sandbox(each.id, each.metadata.name, each.metadata.namespace)
            for each in answer.items
            if each.runtime_handler == HANDLER and each.state == cri_pb2.READY
        ]

    def _ask(self, method: str, request: Message) -> bytes:
        call = self._channel.unary_unary(f"{_SERVICE}{method}")
        try:
            answer: bytes = call(request.SerializeToString(), timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            code = error.code() if isinstance(error, grpc.Call) else None
            if code is grpc.StatusCode.UNIMPLEMENTED:
                raise NodeError(
                    f"the containerd at {self._socket} has no CRI (runtime.v1): take it out of"
                    " disabled_plugins, or look into its journal for why it failed"
                ) from None
            text = code.name if code else "no answer"
            raise NodeError(f"containerd at {self._socket} does not answer: {text}") from None
        return answer


def is_loaded(entry: Mapping[str, Any] | None, handler: Handler | None) -> bool:
    """Whether an entry of the running configuration is what the handler's table says.

    None stands for no such entry.
    """
    if entry is None or handler is None:
        return entry is None and handler is None
    table = dict(handler.table)
    options = dict(entry.get("options") or {})
    wanted = table.pop("options", {})
    # containerd 2 adds the defaults of options that it knows.
    if not isinstance(wanted, dict) or any(options.get(key) != wanted[key] for key in wanted):
        return False
    if not wanted and any(options.values()):
        return False
    table.setdefault("runtime_path", "")
    return all(
        (entry.get(_JSON_NAMES[key]) or type(value)()) == value for key, value in table.items()
    )


def has_systemd_cgroups(runtimes: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether this node's runc is told to leave cgroups to systemd, as kubelet then does, too."""
    runc = runtimes.get("runc") or {}
    return (runc.get("options") or {}).get("SystemdCgroup") is True
