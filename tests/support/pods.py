"""Pods and containers as a kubelet makes them: objects over CRI that clean up after themselves.

`with Pod(cri, folder, "web", handler="tandem", cgroup_parent="/x") as pod` runs a pod and removes
it with all its containers. A container's log is the file that containerd writes for the kubelet.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.api import cri_pb2 as api
from tests.support.cri import Cri, CriError
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Volume:
    """A folder or file of the host, mounted into a container."""

    source: Path
    target: str
    readonly: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """What to run. Empty means: what the image says."""

    name: str
    image: str
    command: Sequence[str] = ()
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    volumes: Sequence[Volume] = ()
    user: int | None = None
    group: int | None = None
    groups: Sequence[int] = ()
    readonly_rootfs: bool = False
    default_seccomp: bool = False
    memory_bytes: int = 0
    cpu_quota_us: int = 0
    annotations: Mapping[str, str] = field(default_factory=dict)
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    pid: "api.NamespaceMode.ValueType" = api.CONTAINER
    pid_target: str = ""
    network: "api.NamespaceMode.ValueType" = api.POD


@dataclass(frozen=True)
class LogLine:
    """One line of a container's log; `stream` is stdout or stderr."""

    stream: str
    text: str


@dataclass(frozen=True)
class ExecResult:
    """What a command run inside a container left behind."""

    exit_code: int
    stdout: str
    stderr: str


class Container:
    """One container of a pod."""

    def __init__(self, cri: Cri, container_id: str, spec: ContainerSpec, log: Path) -> None:
        self._cri = cri
        self.id = container_id
        self.spec = spec
        self.log_path = log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Removal stops, too, but fails where the end comes by itself at the same moment.
        if self.is_running():
            self.stop(grace=0)
            self.wait()
        self.remove()

    def start(self, timeout: float = 60.0) -> Self:
        """Start it; the timeout is in seconds."""
        request = api.StartContainerRequest(container_id=self.id)
        self._cri.call(request, api.StartContainerResponse, timeout)
        return self

    def stop(self, grace: int = 10) -> api.ContainerStatus:
        """Stop it: SIGTERM, and SIGKILL after `grace` seconds. Returns its last status."""
        request = api.StopContainerRequest(container_id=self.id, timeout=grace)
        self._cri.call(request, api.StopContainerResponse, grace + 30.0)
        return self.status()

    def remove(self) -> None:
        """Remove it, running or not."""
        request = api.RemoveContainerRequest(container_id=self.id)
        self._cri.call(request, api.RemoveContainerResponse)

    def status(self) -> api.ContainerStatus:
        """State, times, exit code, reason."""
        request = api.ContainerStatusRequest(container_id=self.id)
        return self._cri.call(request, api.ContainerStatusResponse).status

    def info(self) -> dict[str, Any]:
        """What containerd tells verbosely, such as "pid" and "runtimeSpec"."""
        request = api.ContainerStatusRequest(container_id=self.id, verbose=True)
        answer = self._cri.call(request, api.ContainerStatusResponse)
        found: dict[str, Any] = json.loads(answer.info["info"])
        return found

    def update(self, timeout: float = 60.0, **resources: Any) -> None:
        """Change its limits in place; the names are those of LinuxContainerResources."""
        request = api.UpdateContainerResourcesRequest(
            container_id=self.id, linux=api.LinuxContainerResources(**resources)
        )
        self._cri.call(request, api.UpdateContainerResourcesResponse, timeout)

    def is_running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.status().state == api.CONTAINER_RUNNING

    def wait(self, timeout: float = 30.0) -> api.ContainerStatus:
        """Its status once it has ended; the timeout is in seconds."""

        def ended() -> api.ContainerStatus | None:
            status = self.status()
            return status if status.state == api.CONTAINER_EXITED else None

        return wait_for(f"exit of container {self.spec.name}", ended, timeout)

    def exec(self, *command: str, timeout: int = 30) -> ExecResult:
        """Run a command inside; the timeout is in seconds."""
        request = api.ExecSyncRequest(container_id=self.id, cmd=command, timeout=timeout)
        answer = self._cri.call(request, api.ExecSyncResponse, timeout + 20.0)
        return ExecResult(
            answer.exit_code,
            answer.stdout.decode(errors="replace"),
            answer.stderr.decode(errors="replace"),
        )

    def reopen_log(self) -> None:
        """Have its log go on in a new file, after somebody moved the old one away."""
        request = api.ReopenContainerLogRequest(container_id=self.id)
        self._cri.call(request, api.ReopenContainerLogResponse)

    def log(self) -> list[LogLine]:
        """What it has written so far, in the order in which containerd got it."""
        if not self.log_path.exists():
            return []
        lines: list[LogLine] = []
        pending: dict[str, str] = {}
        # The last record may be half written; a terminal's carriage returns are part of a text.
        for record in self.log_path.read_bytes().decode(errors="replace").split("\n")[:-1]:
            _, stream, tag, text = (*record.split(" ", 3), "")[:4]
            pending[stream] = pending.get(stream, "") + text
            if tag == "F":
                lines.append(LogLine(stream, pending.pop(stream)))
        return lines

    def output(self, stream: str) -> str:
        """All complete lines of "stdout" or "stderr" so far, joined by line breaks."""
        return "\n".join(line.text for line in self.log() if line.stream == stream)

    @property
    def stdout(self) -> str:
        """Its standard output so far."""
        return self.output("stdout")

    @property
    def stderr(self) -> str:
        """Its standard error so far."""
        return self.output("stderr")

    def wait_for_log(self, text: str, timeout: float = 20.0) -> LogLine:
        """The first line of either stream that holds a text; the timeout is in seconds."""

        def written() -> LogLine | None:
            return next((line for line in self.log() if text in line.text), None)

        try:
            return wait_for(f"{text!r} in the log of {self.spec.name}", written, timeout)
        except TimeoutError as error:
            error.add_note("\n".join(f"{line.stream}: {line.text}" for line in self.log()))
            raise


class Pod:
    """A pod, from its sandbox to its removal."""

    def __init__(
        self, cri: Cri, folder: Path, name: str, *, handler: str, cgroup_parent: str
    ) -> None:
        """Describe a pod; `run` or the with statement starts it.

        Args:
            cri: where to run it.
            folder: its logs and volumes are put below.
            name: unique among the pods of this containerd.
            handler: the runtime handler, as a RuntimeClass names it.
            cgroup_parent: where its containers' cgroups are made ("/some/path").
        """
        self._cri = cri
        self.name = name
        self.handler = handler
        uid = str(uuid.uuid4())
        self.folder = folder / f"{name}-{uid}"
        self.id = ""
        self.containers: list[Container] = []
        self.config = api.PodSandboxConfig(
            metadata=api.PodSandboxMetadata(name=name, uid=uid, namespace="default"),
            hostname=name,
            log_directory=str(self.folder / "logs"),
            dns_config=api.DNSConfig(servers=["127.0.0.1"]),
            linux=api.LinuxPodSandboxConfig(cgroup_parent=cgroup_parent),
        )

    def __enter__(self) -> Self:
        return self.run()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.remove()
        except CriError as failure:
            if error is None:
                raise
            error.add_note(f"and the pod could not be removed: {failure}")

    def run(self, timeout: float = 60.0) -> Self:
        """Run the sandbox; the timeout is in seconds."""
        Path(self.config.log_directory).mkdir(parents=True, exist_ok=True)
        request = api.RunPodSandboxRequest(config=self.config, runtime_handler=self.handler)
        self.id = self._cri.call(request, api.RunPodSandboxResponse, timeout).pod_sandbox_id
        return self

    def stop(self) -> None:
        """Stop everything in it; its IP is given back."""
        self._cri.stop_pod(self.id)

    def remove(self) -> None:
        """Stop and remove it with all its containers."""
        if self.id:
            self._cri.stop_pod(self.id)
            self._cri.remove_pod(self.id)
            self.id = ""

    def status(self) -> api.PodSandboxStatus:
        """State, IP, handler."""
        request = api.PodSandboxStatusRequest(pod_sandbox_id=self.id)
        return self._cri.call(request, api.PodSandboxStatusResponse).status

    @property
    def ip(self) -> str:
        """Its IPv4 address on the pod network."""
        return self.status().network.ip

    def volume(self, name: str, mode: int = 0o777) -> Path:
        """An empty folder of the host that its containers may share."""
        path = self.folder / "volumes" / name
        path.mkdir(parents=True)
        path.chmod(mode)
        return path

    def create(self, spec: ContainerSpec) -> Container:
        """Create a container without starting it; names may repeat, as on a restart."""
        attempt = sum(other.spec.name == spec.name for other in self.containers)
        log_path = f"{spec.name}/{attempt}.log"
        config = _container_config(spec, attempt, log_path)
        request = api.CreateContainerRequest(
            pod_sandbox_id=self.id, config=config, sandbox_config=self.config
        )
        answer = self._cri.call(request, api.CreateContainerResponse)
        log = Path(self.config.log_directory, log_path)
        container = Container(self._cri, answer.container_id, spec, log)
        self.containers.append(container)
        return container

    def start(self, spec: ContainerSpec) -> Container:
        """Create a container and start it."""
        return self.create(spec).start()


def _container_config(spec: ContainerSpec, attempt: int, log_path: str) -> api.ContainerConfig:
    security = api.LinuxContainerSecurityContext(
        namespace_options=api.NamespaceOption(
            pid=spec.pid, target_id=spec.pid_target, network=spec.network
        ),
        readonly_rootfs=spec.readonly_rootfs,
        supplemental_groups=spec.groups,
    )
    if spec.default_seccomp:
        security.seccomp.profile_type = api.SecurityProfile.RuntimeDefault
    if spec.user is not None:
        security.run_as_user.value = spec.user
    if spec.group is not None:
        security.run_as_group.value = spec.group
    resources = api.LinuxContainerResources(
        memory_limit_in_bytes=spec.memory_bytes,
        cpu_quota=spec.cpu_quota_us,
        cpu_period=100_000 if spec.cpu_quota_us else 0,
    )
    return api.ContainerConfig(
        metadata=api.ContainerMetadata(name=spec.name, attempt=attempt),
        image=api.ImageSpec(image=spec.image),
        command=spec.command,
        args=spec.args,
        working_dir=spec.workdir,
        envs=[api.KeyValue(key=key, value=value) for key, value in spec.env.items()],
        mounts=[
            api.Mount(
                host_path=str(volume.source),
                container_path=volume.target,
                readonly=volume.readonly,
            )
            for volume in spec.volumes
        ],
        annotations=dict(spec.annotations),
        log_path=log_path,
        stdin=spec.stdin,
        stdin_once=spec.stdin_once,
        tty=spec.tty,
        linux=api.LinuxContainerConfig(resources=resources, security_context=security),
    )
