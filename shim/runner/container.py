"""From the options of a run to the spec of a container: pure.

Rules: the guest gets what it would get in a pod whose spec says nothing special: the capabilities
that containerd gives, of which the jail keeps those that have a meaning for a guest, and no new
privileges. The network, the host's name and IPC are the caller's own, as a process of this
machine; the file system is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shim.cgroup import Cgroup
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import LinuxNamespace, Mount, Process, Resources, Spec, User
from shim.runner.options import Directory, RunOptions

_CAPABILITIES = frozenset(
    {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_NET_BIND_SERVICE"}
)


@dataclass(frozen=True, slots=True)
class RunContainer:
    """One run, as what makes instances sees a container."""

    id: str
    bundle: Path
    rootfs: Path
    spec: Spec
    cgroup: Cgroup


def build_spec(options: RunOptions, env: Mapping[str, str], umask: int, cgroups_path: str) -> Spec:
    """The spec of a run; the sources of its mounts are absolute paths.

    Args:
        options: what was asked for; `name` is set.
        env: the caller's environment, for variables that are named without a value.
        umask: the caller's.
        cgroups_path: the group to make, where there is a limit.
    """
    return Spec(
        root_readonly=options.read_only,
        process=Process(
            args=(options.name, *options.args),
            env=_environment(options.env, env),
            cwd=options.workdir,
            user=User(*options.user, umask=umask),
            effective_capabilities=_CAPABILITIES,
            no_new_privileges=True,
        ),
        mounts=tuple(_mount(each) for each in below_root(options.dirs)),
        namespaces=(LinuxNamespace("mount"),),
        cgroups_path=cgroups_path,
        resources=Resources(memory_limit_bytes=options.memory_bytes),
    )


def root_of(dirs: Sequence[Directory]) -> Directory | None:
    """The directory that is to be the guest's root, if one is.

    Raises:
        InvalidArgumentError: there are two.
    """
    roots = [each for each in dirs if each.guest == "/"]
    if len(roots) > 1:
        raise InvalidArgumentError(
            f"--dir: {roots[0].host} and {roots[1].host} cannot both be the guest's root (/);"
            " name another path of the guest's for one of them"
        )
    return roots[0] if roots else None


def below_root(dirs: Sequence[Directory]) -> list[Directory]:
    """The directories to mount: those above before those below, whatever the order was."""
    return sorted((each for each in dirs if each.guest != "/"), key=lambda each: each.guest)


def _mount(directory: Directory) -> Mount:
    mode = "ro" if directory.read_only else "rw"
    return Mount(directory.guest, "bind", str(Path(directory.host).resolve()), ("rbind", mode))


def _environment(wanted: Sequence[str], env: Mapping[str, str]) -> tuple[str, ...]:
    """`NAME=value` entries; the last one of a name counts, and a name the caller has not is
    left out."""
    found: dict[str, str] = {}
    for entry in wanted:
        name, separator, value = entry.partition("=")
        if separator or name in env:
            found[name] = value if separator else env[name]
    return tuple(f"{name}={value}" for name, value in found.items())
