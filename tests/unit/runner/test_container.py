"""From the options of a run to a spec."""

import pytest

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Mount, Spec
from shim.runner.container import build_spec, root_of
from shim.runner.options import Directory, RunOptions


def spec_of(options: RunOptions, env: dict[str, str] | None = None) -> Spec:
    return build_spec(options, env or {}, 0o027, "/g" if options.memory_bytes else "")


def test_plain_run() -> None:
    spec = spec_of(RunOptions("x", args=("a",), name="app"))
    assert spec.process.args == ("app", "a")
    assert (spec.process.cwd, spec.process.user.uid, spec.process.user.umask) == ("/", 0, 0o027)
    assert [namespace.type for namespace in spec.namespaces] == ["mount"]
    assert (spec.mounts, spec.cgroups_path, spec.root_readonly) == ((), "", False)
    assert spec.resources.memory_limit_bytes is None


def test_limit_user_and_root() -> None:
    options = RunOptions("x", memory_bytes=1 << 24, user=(7, 8), read_only=True, workdir="/w")
    spec = spec_of(options)
    assert (spec.process.user.uid, spec.process.user.gid, spec.process.cwd) == (7, 8, "/w")
    assert (spec.cgroups_path, spec.resources.memory_limit_bytes) == ("/g", 1 << 24)
    assert spec.root_readonly


def test_variables() -> None:
    options = RunOptions("x", env=("A=1", "B", "C", "A=2", "D=="))
    assert spec_of(options, {"B": "b", "E": "e"}).process.env == ("A=2", "B=b", "D==")


def test_mounts_are_in_the_order_of_their_paths() -> None:
    dirs = (Directory("/", "/d/below"), Directory("/usr/..", "/d", read_only=True))
    assert spec_of(RunOptions("x", dirs=(*dirs, Directory("/usr", "/")))).mounts == (
        Mount("/d", "bind", "/", ("rbind", "ro")),
        Mount("/d/below", "bind", "/", ("rbind", "rw")),
    )


def test_root() -> None:
    root = Directory("/a", "/")
    assert root_of([Directory("/b", "/b"), root]) is root
    assert root_of([]) is None
    with pytest.raises(InvalidArgumentError, match="/a and /c cannot both be"):
        root_of([root, Directory("/c", "/")])
