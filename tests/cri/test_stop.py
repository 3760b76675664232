"""Ends of containers and pods, in order and by force: nothing hangs in Terminating."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests.cri.conftest import EVERY_KIND, LINUX, WASM, Case, Home, kinds
from tests.support import images, probe
from tests.support.api import cri_pb2 as api
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import Container, ContainerSpec, Volume
from tests.support.probe import probe as do
from tests.support.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

# Signal of the image, and the status of a program that it ended.
SIGNALS = {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": 137, "15": 143}
DEAF = "trap '' TERM INT; echo ready; while :; do sleep 0.1; done"


def import_image(containerd: Containerd, kind: str, signal: str, entrypoint: Sequence[str]) -> str:
    """Import a copy of the probe's image whose stop signal is `signal`."""
    name = f"localhost/stops-{kind}-{signal.lower()}:1"
    folder = containerd.folder
    config = images.ImageConfig(entrypoint=entrypoint, stop_signal=signal, env={"PATH": "/bin"})
    files = images.busybox_files()
    if kind == "wasm":
        files = {"/app": probe.compile_probe(probe.WASM, folder / "app.wasm")}
    return containerd.import_image(images.build_image(folder / "s.tar", name, files, config))


@kinds(LINUX)
@pytest.mark.parametrize("signal", SIGNALS)
def test_image_names_the_stop_signal(
    containerd: Containerd, case: Case, home: Home, signal: str
) -> None:
    image = import_image(containerd, "linux", signal, ["sh", "-c"])
    script = "trap 'exit 43' TERM; trap 'exit 30' INT; echo ready; while :; do sleep 0.1; done"
    with home.pod.start(ContainerSpec("stops", image, args=[script])) as container:
        container.wait_for_log("ready")
        code = SIGNALS[signal]
        assert container.stop(grace=20).exit_code == (code if code == 137 else code - 100)


@kinds([WASM])
@pytest.mark.parametrize("signal", SIGNALS)
def test_image_names_the_stop_signal_of_a_guest(
    containerd: Containerd, case: Case, home: Home, signal: str
) -> None:
    image = import_image(containerd, "wasm", signal, ["/app"])
    spec = ContainerSpec("stops", image, args=[*do("say", "ready"), "spin"])
    with home.pod.start(spec) as container:
        container.wait_for_log("ready")
        start = time.monotonic()
        assert container.stop(grace=20).exit_code == SIGNALS[signal]
        assert time.monotonic() - start < 5 * PATIENCE


@kinds(LINUX)
def test_grace_period_is_given_and_ends(containerd: Containerd, case: Case, home: Home) -> None:
    spec = ContainerSpec("deaf", images.BUSYBOX, ["sh", "-c", DEAF])
    with home.pod.start(spec) as container:
        container.wait_for_log("ready")
        start = time.monotonic()
        assert container.stop(grace=1).exit_code == 137
        assert 0.9 < time.monotonic() - start < 10 * PATIENCE


@kinds(EVERY_KIND)
def test_stop_after_the_end_changes_nothing(containerd: Containerd, case: Case, home: Home) -> None:
    with case.start(home.pod, "exit", "7") as container:
        before = container.wait()
        for _ in range(2):
            assert container.stop(grace=5) == before


@kinds(EVERY_KIND)
def test_two_stops_at_once(containerd: Containerd, case: Case, home: Home) -> None:
    with case.start(home.pod, *do("say", "busy"), "spin") as container:
        container.wait_for_log("busy")
        patient = threading.Thread(target=container.stop, kwargs={"grace": 60})
        patient.start()
        assert container.stop(grace=0).state == api.CONTAINER_EXITED
        patient.join(30)
        assert not patient.is_alive()


@kinds(EVERY_KIND)
def test_pre_stop_hook_runs_before_the_end(containerd: Containerd, case: Case, home: Home) -> None:
    """A kubelet's preStop is an exec; what is left of the grace period is for the signal."""
    with case.start(home.pod, "spin", volumes=home.volumes) as container:
        assert container.exec("/app", "write", "/shared/farewell", "x").exit_code == 0
        with pytest.raises(CriError):
            container.exec("/app", "sleep", "60", timeout=1)
        assert container.is_running()
        assert container.stop(grace=0).exit_code == 137
    (home.shared / "farewell").unlink()


@kinds(EVERY_KIND)
def test_container_that_fails_is_run_again(containerd: Containerd, case: Case, home: Home) -> None:
    """The kubelet's loop: create the next attempt, start it, remove the one before."""
    last = None
    for attempt in range(10):
        spec = ContainerSpec("loop", case.image, args=[*do("say", f"run {attempt}"), "exit", "3"])
        container = home.pod.start(spec)
        assert container.wait().exit_code == 3
        assert container.status().metadata.attempt == attempt
        if last is not None:
            last.remove()
        last = container
    assert last is not None
    wait_for("the last log", lambda: last.stdout == "run 9")
    last.remove()


@kinds(EVERY_KIND)
def test_pod_goes_while_everything_in_it_resists(containerd: Containerd, case: Case) -> None:
    with containerd.pod("resists", case.handler) as pod:
        shared = pod.volume("shared")
        volumes = [Volume(shared, "/shared")]
        script = ["sh", "-c", DEAF]
        deaf = pod.start(ContainerSpec("deaf", images.BUSYBOX, script, volumes=volumes))
        guest = case.start(pod, *do("say", "ready"), "spin", volumes=volumes)
        pod.create(case.spec("sleep", "60"))
        deaf.wait_for_log("ready")
        guest.wait_for_log("ready")
        commands = (
            (deaf, ["sh", "-c", f"touch /shared/linux; {DEAF}"]),
            (guest, ["/app", *do("write", "/shared/guest", ""), "spin"]),
        )
        hanging = [threading.Thread(target=hang, args=command) for command in commands]
        for thread in hanging:
            thread.start()
        wait_for(
            "the execs", lambda: {path.name for path in shared.iterdir()} == {"linux", "guest"}
        )
        start = time.monotonic()
        pod.remove()
        assert time.monotonic() - start < 15 * PATIENCE
        for thread in hanging:
            thread.join(20)
            assert not thread.is_alive()


def hang(container: Container, command: Sequence[str]) -> None:
    """Run a command that ends with its container, in whatever way."""
    with suppress(CriError):
        container.exec(*command, timeout=60)
