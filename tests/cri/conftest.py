"""One private containerd for all CRI tests of a session, and a check after each of them."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import images, leaks, probe
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Case:
    """A kind of container: who runs its pod, and the probe built for it."""

    handler: str
    image: str

    def start(self, pod: Pod, *args: str, **more: object) -> Container:
        """Start the probe in a pod with these arguments."""
        return pod.start(self.spec(*args, **more))

    def spec(self, *args: str, **more: object) -> ContainerSpec:
        """What `start` starts."""
        return ContainerSpec("probe", self.image, args=args, **more)  # type: ignore[arg-type]


# runc's own shim is the reference: a test that it does not pass asks for the wrong thing.
REFERENCE = Case("runc", probe.LINUX)
WASM = Case("tandem", probe.WASM)
LINUX = [REFERENCE, Case("tandem", probe.LINUX), Case("tandem-crun", probe.LINUX)]
EVERY_KIND = [*LINUX, WASM]


def kinds(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test with each of these cases as `case`."""
    names = [f"{case.handler}-{case.image.split(':')[0].split('-')[-1]}" for case in cases]
    return pytest.mark.parametrize("case", cases, ids=names)


@dataclass(frozen=True)
class Stack:
    """What `--containerd` and `--transport` chose for this session."""

    release: str
    transport: str

    def containerd(self) -> Containerd:
        """Another private containerd of this kind, for a with statement."""
        return Containerd(self.release, self.transport)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    options = request.config.option
    return Stack(options.containerd, options.transport)


@pytest.fixture(scope="session")
def containerd(stack: Stack) -> Iterator[Containerd]:
    with stack.containerd() as started:
        import_test_images(started)
        start_daemon(started)
        yield started


@pytest.fixture(autouse=True)
def _nothing_left(containerd: Containerd) -> Iterator[None]:
    """After each test: no pod, and no process or mount that a pod had."""
    yield
    pods = containerd.cri.pod_ids()
    containerd.cri.remove_all_pods()
    assert pods == [], "the test left pods behind"
    wait_for("end of every shim and container", lambda: not containerd.pod_processes())
    wait_for("unmounting of every rootfs", lambda: not rootfs_mounts(containerd))


def import_test_images(containerd: Containerd) -> None:
    """Import what the tests of this folder run."""
    folder = containerd.folder
    containerd.import_image(images.busybox_image(folder / "busybox.tar"))
    for name in (probe.LINUX, probe.WASM):
        containerd.import_image(probe.probe_image(folder / "probe.tar", name))


def start_daemon(containerd: Containerd) -> None:
    """Have the shim's node daemon started by a first pod: it stays from test to test."""
    with containerd.pod("first", "tandem"):
        pass
    leaks.allow_reserve(containerd.tandem_socket)


def rootfs_mounts(containerd: Containerd) -> list[str]:
    """Every mounted root file system of a container."""
    mounts = containerd.room.path("/proc/1/mounts").read_text().splitlines()
    return [line for line in mounts if line.split()[1].endswith("/rootfs")]
