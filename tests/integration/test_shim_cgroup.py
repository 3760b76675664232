"""The runtime option `ShimCgroup`, from `start`'s stdin to the kernel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from shim.api import bootstrap_pb2, options_pb2, runc_options_pb2
from tests.integration.installed import LAUNCHERS, Installed, installed
from tests.support import leaks

pytestmark = pytest.mark.root

ROOT = Path("/sys/fs/cgroup")
NAME = f"{leaks.TOKEN}-shims"


@pytest.fixture
def node() -> Iterator[Installed]:
    with installed() as node:
        yield node


@pytest.fixture
def groups(node: Installed) -> Iterator[list[Path]]:
    """The group in two hierarchies, where there are several, and gone when the shims are."""
    if (ROOT / "cgroup.controllers").exists():
        made = [ROOT / NAME]
    else:
        made = [ROOT / hierarchy / NAME for hierarchy in ("memory", "pids")]
    for group in made:
        group.mkdir()
    yield made
    node.close()
    assert leaks.wait_until(lambda: not any(pids_in(group) for group in made))
    for group in made:
        group.rmdir()


def pids_in(group: Path) -> list[int]:
    return [int(line) for line in (group / "cgroup.procs").read_text().split()]


def any_of(message: Message) -> Any:
    name = message.DESCRIPTOR.full_name
    return Any(type_url=name, value=message.SerializeToString())


def bootstrap(options: Any, container_id: str) -> bytes:
    params = bootstrap_pb2.BootstrapParams(instance_id=container_id, namespace="n")
    params.extensions.add().value.CopyFrom(options)
    return params.SerializeToString()


RUNC = any_of(runc_options_pb2.Options(shim_cgroup=f"/{NAME}"))
GENERIC = any_of(options_pb2.Options(config_body=f'ShimCgroup = "{NAME}"'.encode()))


@pytest.mark.parametrize(
    "stdin",
    [RUNC.SerializeToString(), GENERIC.SerializeToString(), bootstrap(RUNC, "c")],
    ids=["runc", "generic", "bootstrap"],
)
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_shim_is_in_the_cgroup_that_the_options_name(
    node: Installed, groups: list[Path], launcher: str, stdin: bytes
) -> None:
    bundle = node.bundle("c")
    done = node.run(launcher, *node.arguments("c", "start"), cwd=bundle, stdin=stdin)
    assert (done.returncode, done.stderr) == (0, b"")
    node.expect(done.stdout.decode())
    shim = node.connect(done.stdout.decode())
    assert [pids_in(group) for group in groups] == [[shim]] * len(groups)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_start_is_refused_where_the_cgroup_is_missing(node: Installed, launcher: str) -> None:
    bundle = node.bundle("c")
    stdin = RUNC.SerializeToString()
    done = node.run(launcher, *node.arguments("c", "start"), cwd=bundle, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"tandem: shim cgroup '/{NAME}' does not exist: create it, or remove the option"
        " ShimCgroup\n"
    )
    assert not leaks.cgroups(NAME)
