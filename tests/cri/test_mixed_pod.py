"""Pods of the `tandem` handler that hold a Wasm container and a Linux container side by side."""

import re
import time
from pathlib import Path

import pytest

from tests.cri.conftest import WASM, shims_and_instances
from tests.support import images, probe
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod, Volume
from tests.support.probe import probe as do
from tests.support.waiting import PATIENCE, wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

MIB = 1 << 20


def start_server(pod: Pod, folder: Path, port: int = 8080) -> Container:
    """Start a busybox httpd that serves a shared folder, and wait until it answers in the pod."""
    command = ["httpd", "-f", "-v", "-p", str(port), "-h", "/www"]
    volume = Volume(folder, "/www", readonly=True)
    return pod.start(ContainerSpec("server", images.BUSYBOX, command, volumes=[volume]))


def test_what_wasm_writes_linux_serves(containerd: Containerd) -> None:
    with containerd.pod("mixed", "tandem") as pod:
        shared = pod.volume("www")
        server = start_server(pod, shared)
        writer = WASM.start(
            pod,
            *(do("write", "/out/page.html", "<p>from Wasm</p>") + do("err", "done")),
            volumes=[Volume(shared, "/out")],
        )
        assert writer.wait().exit_code == 0
        page = containerd.http_get(f"http://{pod.ip}:8080/page.html")
        assert (page.status, page.body) == (200, b"<p>from Wasm</p>")
        assert (writer.stdout, writer.stderr) == ("wrote /out/page.html", "done")
        assert "response:200" in server.wait_for_log("response").text
        assert server.is_running()


def test_one_shim_with_one_thread_serves_the_whole_pod(containerd: Containerd) -> None:
    with containerd.pod("shim", "tandem") as pod:
        start_server(pod, pod.volume("www"))
        for number in range(4):
            spec = ContainerSpec(f"wasm-{number}", probe.WASM, args=["sleep", "60"])
            pod.start(spec)
        shims, instances = shims_and_instances(containerd)
        assert len(shims) == 1
        assert shims[0].num_threads() == 1
        assert len(instances) == 4


def test_wasm_that_traps_leaves_the_reason_and_its_neighbours(containerd: Containerd) -> None:
    with containerd.pod("trap", "tandem") as pod:
        shared = pod.volume("www")
        (shared / "index.html").write_text("still here")
        server = start_server(pod, shared)
        guest = WASM.start(pod, *do("say", "before"), "abort")
        assert guest.wait().exit_code == 137
        assert guest.stdout == "before"
        assert "unreachable" in guest.stderr
        assert re.search(r"abort|backtrace", guest.stderr)
        assert containerd.http_get(f"http://{pod.ip}:8080/").body == b"still here"
        assert server.is_running()


def test_end_of_the_linux_container_leaves_wasm(containerd: Containerd) -> None:
    with containerd.pod("survivor", "tandem") as pod:
        server = start_server(pod, pod.volume("www"))
        guest = WASM.start(pod, *do("sleep", "2"), *do("say", "outlived"), "exit", "4")
        assert server.stop(grace=0).exit_code == 137
        assert guest.wait().exit_code == 4
        assert guest.stdout == "outlived"


@pytest.mark.parametrize("work", ["sleep", "spin"])
def test_stop_ends_wasm_at_once(containerd: Containerd, work: str) -> None:
    with containerd.pod(f"term-{work}", "tandem") as pod:
        guest = WASM.start(pod, *do("say", "busy"), work, "60")
        guest.wait_for_log("busy")
        start = time.monotonic()
        status = guest.stop(grace=20)
        assert status.exit_code == 143
        assert time.monotonic() - start < 10 * PATIENCE


def test_wasm_over_its_memory_limit_ends_alone(containerd: Containerd) -> None:
    with containerd.pod("greedy", "tandem") as pod:
        server = start_server(pod, pod.volume("www"))
        modest = ContainerSpec("modest", probe.WASM, args=[*do("eat", "20"), "sleep", "60"])
        neighbour = pod.start(modest)
        greedy = WASM.start(pod, *do("eat", "400"), "sleep", "60", memory_bytes=64 * MIB)
        wait_for(
            "the limit to hold",
            lambda: not greedy.is_running() or "ate" in greedy.stdout,
        )
        assert "ate 400" not in greedy.stdout
        assert neighbour.is_running()
        assert server.is_running()


def test_many_wasm_containers_end_each_with_its_own_code(containerd: Containerd) -> None:
    with containerd.pod("many", "tandem") as pod:
        specs = [
            ContainerSpec(f"guest-{n}", probe.WASM, args=[*do("say", f"I am {n}"), "exit", str(n)])
            for n in range(8)
        ]
        guests = [pod.create(spec) for spec in specs]
        for guest in guests:
            guest.start()
        assert [guest.wait().exit_code for guest in guests] == list(range(8))
        assert [guest.stdout for guest in guests] == [f"I am {n}" for n in range(8)]


def test_text_module_and_named_function(containerd: Containerd) -> None:
    text = b"""(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const 11)))
      (func (export "other") (call $exit (i32.const 22))))"""
    archive = images.wasm_image(containerd.folder / "text.tar", "localhost/text:1", text)
    containerd.import_image(archive)
    with containerd.pod("text", "tandem") as pod:
        default = pod.start(ContainerSpec("default", "localhost/text:1"))
        named = pod.start(ContainerSpec("named", "localhost/text:1", ["/app.wasm#other"]))
        assert (default.wait().exit_code, named.wait().exit_code) == (11, 22)


def test_two_pods_run_the_same_module_apart(containerd: Containerd) -> None:
    with containerd.pod("left", "tandem") as left, containerd.pod("right", "tandem") as right:
        one = WASM.start(left, *do("env", "SIDE"), "sleep", "60", env={"SIDE": "left"})
        two = WASM.start(right, *do("env", "SIDE"), "sleep", "60", env={"SIDE": "right"})
        one.wait_for_log("SIDE=left")
        two.wait_for_log("SIDE=right")
        left.remove()
        assert two.is_running()
