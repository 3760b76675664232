"""A mixed pod in which every program of web_guests.py serves, beside a Linux container.

Components come as images `FROM scratch`, but for one: the `fetch` handler is an artifact, by
`tandem pack`. All of them listen in the one network of the pod, on ports of their own.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import guests, images, network, web_guests
from tests.support.containerd import Containerd
from tests.support.http_server import body_of, exchange
from tests.support.pods import Container, ContainerSpec, Pod
from tests.support.tandem_command import TandemCommand
from tests.support.web_guests import WebGuest

_ANNOTATIONS = "io.containerd.tandem.v1"
_FIRST_PORT = 8081
_COMPILE_S = 240.0
_CLIENT_S = 60.0


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    head: bytes
    body: bytes


@dataclass(frozen=True)
class WebServer:
    """A container of the pod that serves."""

    guest: WebGuest
    container: Container
    containerd: Containerd
    address: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def ask(self, method: str, path: str, *fields: str, body: bytes = b"") -> Answer:
        """Ask as the node does, on a connection of its own."""
        host, _, port = self.address.rpartition(":")
        length = (f"content-length: {len(body)}",) if body else ()
        lines = (f"{method} {path} HTTP/1.1", "host: t", "connection: close", *fields, *length)
        request = "\r\n".join((*lines, "", "")).encode() + body
        with network.connect(
            self.containerd.room.network, host, int(port), _CLIENT_S
        ) as connection:
            found = exchange(connection, request)
        head = found.partition(b"\r\n\r\n")[0]
        return Answer(int(head.split(b" ", 2)[1]), head.lower(), body_of(found))

    def hey(self, requests: int, connections: int) -> str:
        """Ask by hey, which counts answers by status; what it says."""
        options = ["-n", str(requests), "-c", str(connections)]
        done = self.containerd.run(["hey", *options, self.url])
        assert done.returncode == 0, done.stderr
        return done.stdout

    def load(self, *options: str) -> "subprocess.Popen[str]":
        """Start http_load.py with these options."""
        argv: list[str | Path] = [sys.executable, "-m", "tests.support.http_load", self.address]
        return subprocess.Popen(
            self.containerd.room.command([*argv, *options]),
            cwd=guests.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )


def outcome_of(loading: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Wait for the end of a load; how many answers were right, and what was wrong."""
    output, _ = loading.communicate()
    found = json.loads(output)
    return found["requests"], found["errors"]


def statuses(hey: str) -> dict[int, int]:
    """How many answers of each status hey has counted; 0 for those that failed."""
    found = {int(status): int(count) for status, count in re.findall(r"\[(\d+)\]\t(\d+) r", hey)}
    if "Error distribution" in hey:
        found[0] = 1
    return found


@contextmanager
def web_pod(
    containerd: Containerd, name: str, programs: Sequence[WebGuest], timeout_s: int
) -> Iterator[tuple[Container, dict[str, WebServer]]]:
    """The pod: its Linux container, and what serves, by name; a request may last `timeout_s`."""
    with containerd.pod(name, "tandem") as pod:
        client = pod.start(ContainerSpec("client", images.BUSYBOX, ["sleep", "3600"]))
        yield client, dict(_servers(containerd, pod, programs, timeout_s))


def _servers(
    containerd: Containerd, pod: Pod, programs: Sequence[WebGuest], timeout_s: int
) -> Iterator[tuple[str, WebServer]]:
    ip = pod.ip
    for port, guest in enumerate(programs, start=_FIRST_PORT):
        annotations = {
            f"{_ANNOTATIONS}/http-listen": f"0.0.0.0:{port}",
            f"{_ANNOTATIONS}/http-timeout-s": str(timeout_s),
        }
        if guest.is_cgi:
            annotations[f"{_ANNOTATIONS}/cgi"] = "true"
        command = [f"{guest.name}.wasm"] if guest is web_guests.FETCH else []
        image = import_guest(containerd, guest)
        spec = ContainerSpec(guest.name, image, command, user=1000, annotations=annotations)
        # compiles, which takes a while where the machine has other things to do
        container = pod.create(spec).start(_COMPILE_S)
        container.wait_for_log("serving HTTP on ")
        yield guest.name, WebServer(guest, container, containerd, f"{ip}:{port}")


def import_guest(containerd: Containerd, guest: WebGuest) -> str:
    """Have CRI know the program's image; its name."""
    name = f"localhost/web-{guest.name}:1"
    if containerd.cri.has_image(name):
        return name
    archive = containerd.folder / f"web-{guest.name}.tar"
    if guest is not web_guests.FETCH:
        return containerd.import_image(images.wasm_image(archive, name, guest.build()))
    node = TandemCommand(containerd.folder / "packer")
    node.must("pack", guest.build(), "-t", name, "-o", archive)
    containerd.ctr("images", "import", "--no-unpack", archive)
    containerd.cri.wait_for_image(name)
    return name
