"""A Create request, read: what it and the bundle's config.json alone tell.

Rules: everything that can be refused by a look at them is refused here, before the first mount.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from shim.api import task_pb2
from shim.cgroup import Cgroup, locate
from shim.config import Config
from shim.errdefs import InvalidArgumentError
from shim.linux.runtime import RuntimeOptions
from shim.oci.spec import Spec, parse_spec
from shim.pod.options import runtime_options
from shim.process.streams import StreamPaths


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """What a container is to be."""

    request: task_pb2.CreateTaskRequest
    bundle: Path
    rootfs: Path
    spec: Spec
    options: RuntimeOptions
    cgroup: Cgroup

    @property
    def id(self) -> str:
        """Containerd's id of the container."""
        return self.request.id

    @property
    def rootfs_identity(self) -> str:
        """What the rootfs is made of, without the writable layer, which differs per container."""
        parts = [os.fspath(self.rootfs)] if not self.request.rootfs else []
        for mount in self.request.rootfs:
            layers = [o for o in mount.options if o.startswith("lowerdir=")]
            parts += [mount.type, *(layers or [mount.source])]
        return "\0".join(parts)

    def paths_of(
        self, request: task_pb2.CreateTaskRequest | task_pb2.ExecProcessRequest
    ) -> StreamPaths:
        """The streams of the container's init, or of a process executed in it."""
        return StreamPaths(
            stdin=request.stdin,
            stdout=request.stdout,
            stderr=request.stderr,
            terminal=request.terminal,
            owner=self.options.io_owner,
        )


def read_request(
    request: task_pb2.CreateTaskRequest, config: Config, oci_runtime_root: Path
) -> ContainerRequest:
    """Read a request and its bundle.

    Raises:
        InvalidArgumentError: one of them makes no container.
    """
    bundle = Path(request.bundle)
    if not bundle.is_absolute():
        raise InvalidArgumentError(f"bundle {request.bundle[:200]!r} is not an absolute path")
    try:
        spec = parse_spec((bundle / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        # ValueError: a NUL in the path.
        reason, name = getattr(error, "strerror", None) or error, request.bundle[:200]
        raise InvalidArgumentError(f"bundle {name}: config.json: {reason}") from error
    options = runtime_options(request.options, config, oci_runtime_root)
    return ContainerRequest(
        request=request,
        bundle=bundle,
        rootfs=bundle / (spec.root_path if not request.rootfs else "rootfs"),
        spec=spec,
        options=options,
        cgroup=locate(spec.cgroups_path or f"/{request.id}", systemd=options.systemd_cgroup),
    )
