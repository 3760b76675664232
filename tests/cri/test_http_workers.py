"""Several processes that serve one container, through CRI: as many as its CPU limit lets run."""

import contextlib
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.cri.test_http import ask, start_client
from tests.support import guests, http_guest, images
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

IMAGE = "localhost/http-workers:1"
HTTP = "io.containerd.tandem.v1/http-"
# A node of one processor has one worker, whatever the limit, but for a pod that asks for more.
TWO = {} if (os.cpu_count() or 1) > 1 else {f"{HTTP}workers": "2"}


@pytest.fixture(scope="module", autouse=True)
def _image(containerd: Containerd) -> None:
    component = guests.binary(http_guest.component())
    archive = images.wasm_image(containerd.folder / "http-workers.tar", IMAGE, component)
    containerd.import_image(archive)


def init_of(containerd: Containerd, container: Container) -> psutil.Process:
    return psutil.Process(containerd.room.host_pid(container.info()["pid"]))


def workers_of(containerd: Containerd, container: Container, count: int) -> list[psutil.Process]:
    init = init_of(containerd, container)
    return wait_for(
        f"{count} workers",
        lambda: found if len(found := init.children()) == count else None,
    )


def pid_inside(process: psutil.Process) -> int:
    """The pid of a process where containerd and the pod run."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("NSpid:")[1].splitlines()[0].split()[-1])


def filters_of(process: psutil.Process) -> int:
    """How many system call filters a process has."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("Seccomp_filters:")[1].split()[0])


def test_a_limit_of_two_processors_makes_two(containerd: Containerd) -> None:
    with containerd.pod("http-workers", "tandem") as pod:
        client = start_client(pod)
        spec = ContainerSpec(
            "server",
            IMAGE,
            user=1000,
            readonly_rootfs=True,
            default_seccomp=True,
            cpu_quota_us=200_000,
            annotations={f"{HTTP}reuse": "1000", **TWO},
        )
        server = pod.start(spec)
        server.wait_for_log("serving HTTP on 0.0.0.0:8080 by 2 workers")
        first, second = workers_of(containerd, server, 2)
        init = init_of(containerd, server)
        assert init.num_threads() == 1
        # The supervisor's guard, deny list and profile; and on top a worker's guard and deny list,
        # which it has before it serves.
        assert filters_of(init) == 3
        workers = (first, second)
        wait_for("five filters", lambda: [filters_of(worker) for worker in workers] == [5, 5])
        # What containerd asks of the shim: Pids.
        listed = containerd.ctr("tasks", "ps", server.id).splitlines()[1:]
        assert {int(line.split()[0]) for line in listed} == {
            pid_inside(process) for process in (init, first, second)
        }
        assert ask(client, "/a") == "ok"
        killed = pid_inside(first)
        first.kill()
        server.wait_for_log(f"worker 0 (process {killed}) was killed by signal 9")
        assert ask(client, "/a") == "ok"
        third, fourth = workers_of(containerd, server, 2)
        assert second in {third, fourth}
        assert server.is_running()
        status = server.stop()
        assert status.exit_code == 0
        assert not any(process.is_running() for process in (second, third, fourth))


def test_kill_of_init_takes_its_workers(containerd: Containerd) -> None:
    with containerd.pod("http-killed", "tandem") as pod:
        server = pod.start(ContainerSpec("server", IMAGE, annotations={f"{HTTP}workers": "3"}))
        server.wait_for_log("by 3 workers")
        workers = workers_of(containerd, server, 3)
        init_of(containerd, server).kill()
        assert server.wait().exit_code == 128 + signal.SIGKILL
        wait_for("the workers' end", lambda: not any(one.is_running() for one in workers))


def test_one_process_where_the_limit_is_one(containerd: Containerd) -> None:
    with containerd.pod("http-one", "tandem") as pod:
        server = pod.start(ContainerSpec("server", IMAGE, cpu_quota_us=100_000))
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        assert init_of(containerd, server).children() == []
        assert "workers" not in server.output("stderr")
        # Its crash is the container's end, and nobody else's. wasmtime lets the second one through.
        other = pod.start(ContainerSpec("other", IMAGE, annotations={f"{HTTP}listen": "0.0.0.0:9"}))
        init = init_of(containerd, server)

        def has_ended() -> bool:
            with contextlib.suppress(psutil.NoSuchProcess):
                init.send_signal(signal.SIGSEGV)
            return not server.is_running()

        wait_for("the crash", has_ended)
        assert server.wait().exit_code == 128 + signal.SIGSEGV
        assert other.is_running()
