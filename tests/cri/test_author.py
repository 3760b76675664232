"""An author's two minutes: from an empty file to a served request, on a node that has Tandem.

What Kubernetes adds, tests/k8s walks; this is the same way without it, in steps that are timed.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.containerd import Containerd
from tests.support.pods import ContainerSpec
from tests.support.registry import Registry
from tests.support.tandem_command import TandemCommand
from tests.support.waiting import PATIENCE

pytestmark = [pytest.mark.root, pytest.mark.containerd]

# What the README promises.
TWO_MINUTES = 120
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  printf("Content-Type: text/plain\n\nhello from %s\n", getenv("PATH_INFO"));
}
"""
CGI = "io.containerd.tandem.v1/cgi"


class Steps:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time what is in the block."""
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        print(f"  {name}  {self.seconds[name]:.1f} s")


def test_from_an_empty_file_to_a_served_request(containerd: Containerd, tmp_path: Path) -> None:
    tandem, steps = TandemCommand(tmp_path / "author"), Steps()
    source, module = tmp_path / "hello.c", tmp_path / "hello.wasm"
    with Registry(room=containerd.room) as registry:
        image = registry.image("hello")
        with steps.step("write and compile a program"):
            source.write_text(PROGRAM)
            command: list[str | Path] = [
                "clang",
                "--target=wasm32-wasi",
                "-Os",
                "-s",
                "-o",
                module,
                source,
            ]
            subprocess.run(command, check=True)
        with steps.step("tandem pack"):
            tandem.must("pack", module, "--compat", "-t", image)
        with steps.step("tandem push"):
            # The registry is the room's, so this is said there.
            main = "import sys; from shim.cli.app import main; sys.exit(main())"
            push = containerd.room.command([sys.executable, "-c", main, "push", image])
            subprocess.run(push, env=tandem.environment, check=True, stdout=subprocess.DEVNULL)
        with steps.step("pull"):
            containerd.cri.pull(image)
        with containerd.pod("author", "tandem") as pod:
            with steps.step("start a container"):
                server = pod.start(ContainerSpec("hello", image, annotations={CGI: "true"}))
                server.wait_for_log("serving HTTP on 0.0.0.0:8080")
            with steps.step("first request"):
                page = containerd.http_get(f"http://{pod.ip}:8080/a/blinking/cursor")
            assert (page.status, page.body) == (200, b"hello from /a/blinking/cursor\n")
            assert server.stop().exit_code == 0
    assert sum(steps.seconds.values()) < TWO_MINUTES * PATIENCE, steps.seconds
