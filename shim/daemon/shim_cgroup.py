"""Puts a new pod shim into the cgroup that the runtime option `ShimCgroup` names.

Rules: the group has to exist, as for runc's shim (containerd cmd/containerd-shim-runc-v2/manager:
it loads the group and creates none): under cgroup v1, and v1 beside v2, every hierarchy that has it
is joined; the path counts from each hierarchy's root.
"""

from pathlib import Path

from shim.cgroup import membership
from shim.cgroup.names import cgroupfs_path
from shim.errdefs import FailedPreconditionError

_CGROUP_ROOT = Path("/sys/fs/cgroup")


def join_shim_cgroup(name: str, root: Path = _CGROUP_ROOT) -> None:
    """Move this process there.

    Raises:
        FailedPreconditionError: no hierarchy has such a group, or the kernel refuses the process.
        InvalidArgumentError: the name leads to the root of the hierarchies.
    """
    path = cgroupfs_path(name)
    # It may be a pod's; this is where the pod's loaders go back to.
    membership.home()
    if (root / "cgroup.controllers").exists():
        hierarchies = {root}
    else:
        # Symbolic links such as cpu -> cpu,cpuacct name a hierarchy twice.
        hierarchies = {entry.resolve() for entry in root.iterdir()}
    groups = sorted(hierarchy / path for hierarchy in hierarchies if (hierarchy / path).is_dir())
    if not groups:
        raise FailedPreconditionError(
            f"shim cgroup {name!r} does not exist: create it, or remove the option ShimCgroup"
        )
    for group in groups:
        try:
            (group / "cgroup.procs").write_text("0")
        except OSError as error:
            raise FailedPreconditionError(
                f"shim cgroup {group} cannot be joined: {error.strerror}"
            ) from error
