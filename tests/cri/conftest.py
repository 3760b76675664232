"""One private containerd for all CRI tests of a session, and a check after each of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import images, leaks, probe
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod, Volume
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
OURS = [case for case in EVERY_KIND if case != REFERENCE]


def kinds(cases: list[Case]) -> pytest.MarkDecorator:
    """Run a test with each of these cases as `case`; those of a file that share a pod in a row."""
    names = [f"{case.handler}-{case.image.split(':')[0].split('-')[-1]}" for case in cases]
    return pytest.mark.parametrize("case", cases, ids=names, scope="module")


@dataclass(frozen=True)
class Home:
    """A pod that tests of a file share, with containers that stay; `shared` is their /shared."""

    pod: Pod
    probe: Container
    shell: Container
    shared: Path
    volumes: tuple[Volume, ...]

    def last_words(self) -> list[str]:
        """Commands that keep a probe alive until `let_go`, so that its output is read before.

        containerd 1.6 drops what it has not read by the time it hears of the exit, and runc's shim
        tells it at once.
        """
        (self.shared / "go").unlink(missing_ok=True)
        return probe.probe("until", "/shared/go")

    def let_go(self) -> None:
        """Let the probes end that `last_words` keep."""
        (self.shared / "go").touch()


@pytest.fixture(scope="module")
def home(containerd: Containerd, case: Case) -> Iterator[Home]:
    """The probe of the case, and a Linux container with a shell; under `tandem` both kinds run."""
    with containerd.pod("home", case.handler) as pod:
        shared = pod.volume("shared")
        volumes = (Volume(shared, "/shared"),)
        more: dict[str, Any] = {"volumes": volumes, "env": {"COLOUR": "blue"}}
        command = ["sh", "-c", "sleep 3600; true"]
        shell = pod.start(ContainerSpec("shell", images.BUSYBOX, command, **more))
        if case in LINUX and case != REFERENCE:
            WASM.start(pod, "sleep", "3600")
        yield Home(pod, case.start(pod, "sleep", "3600", **more), shell, shared, volumes)


@dataclass(frozen=True)
class Stack:
    """What `--containerd`, `--transport` and `--shim-dir` chose for this session."""

    release: str
    transport: str
    shims: Path | None = None

    def containerd(self, parent: Path | None = None) -> Containerd:
        """Another private containerd of this kind, for a with statement."""
        return Containerd(self.release, self.transport, parent=parent, shims=self.shims)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    options = request.config.option
    return Stack(options.containerd, options.transport, options.shim_dir)


@pytest.fixture(scope="session")
def containerd(stack: Stack) -> Iterator[Containerd]:
    with stack.containerd() as started:
        import_test_images(started)
        start_daemon(started)
        yield started


@pytest.fixture(autouse=True)
def _nothing_left(containerd: Containerd) -> Iterator[None]:
    """After each test: no pod, and no process or mount that a pod of the test's own had."""
    pods, processes = containerd.cri.pod_ids(), pids_of_pods(containerd)
    mounts = rootfs_mounts(containerd)
    yield
    left = set(containerd.cri.pod_ids()) - set(pods)
    for pod in left:
        containerd.cri.stop_pod(pod)
        containerd.cri.remove_pod(pod)
    assert left == set(), "the test left pods behind"
    wait_for("end of what ran in pods", lambda: pids_of_pods(containerd) <= processes)
    wait_for("unmounting of every rootfs", lambda: rootfs_mounts(containerd) <= mounts)


def import_test_images(containerd: Containerd) -> None:
    """Import what the tests of this folder run."""
    folder = containerd.folder
    containerd.import_image(images.busybox_image(folder / "busybox.tar"))
    for name in (probe.LINUX, probe.WASM):
        containerd.import_image(probe.probe_image(folder / "probe.tar", name))
    containerd.import_image(probe.both_image(folder / "both.tar"))


def start_daemon(containerd: Containerd) -> None:
    """Have the shim's node daemon started by a first pod: it stays from test to test."""
    with containerd.pod("first", "tandem"):
        pass
    leaks.allow_reserve(containerd.tandem_socket)


def pids_of_pods(containerd: Containerd) -> set[int]:
    """The pids, on this machine, of everything that pods account for."""
    return {process.host_pid for process in containerd.pod_processes()}


def rootfs_mounts(containerd: Containerd) -> set[str]:
    """Where the root file systems of containers are mounted."""
    mounts = containerd.room.path("/proc/1/mounts").read_text().splitlines()
    points = {line.split()[1] for line in mounts}
    return {point for point in points if point.endswith("/rootfs")}


def shims_and_instances(
    containerd: Containerd,
) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The shims of all pods, and the processes of their Wasm containers; no gateways."""
    forked = {
        process.host_pid: psutil.Process(process.host_pid)
        for process in containerd.pod_processes()
        if any("tandemd" in word for word in process.command) and not speaks_grpc(process.host_pid)
    }
    shims = [process for process in forked.values() if process.ppid() not in forked]
    return shims, [process for process in forked.values() if process.ppid() in forked]


def speaks_grpc(pid: int) -> bool:
    """Whether a process has loaded gRPC, as of ours only a gateway has."""
    return "cygrpc" in Path(f"/proc/{pid}/maps").read_text()
