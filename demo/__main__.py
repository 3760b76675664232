"""`python -m demo`: one pod, a Linux container beside a Wasm one, through a real containerd.

The Wasm container is CPython compiled to WASI, as its package ships it: it reads a CSV file from
one volume and writes a page into another, which the Linux container, a busybox httpd, serves.
Everything lives in a temporary folder and in namespaces of its own, and is gone afterwards.
"""

import os
import re
import signal
import sys
import time
from pathlib import Path

from demo.progress import say, show, step
from demo.readings import write_readings
from tests.support import guests, images
from tests.support.containerd import Containerd
from tests.support.pods import Container, ContainerSpec, Pod, Volume
from tests.support.waiting import wait_for

HANDLER = "tandem"
PYTHON_IMAGE = "localhost/cpython-wasi:1"
REPORT = Path(__file__).parent / "guest" / "report.py"
START_SECONDS = 180.0
PORT = 8080


def main() -> int:
    """Run the demo and return the exit status."""
    if os.geteuid() != 0:
        say("the demo starts a containerd: run it as root")
        return 2
    begin = time.monotonic()
    say("Tandem: a Wasm container and a Linux container in one pod")
    with step("get CPython for WASI, hashes checked"):
        python = guests.cpython_wasm()
    containerd = Containerd("1.6")
    try:
        with step("start a private containerd, with CRI and a pod network"):
            containerd.start()
        with step(
            f"build and import images: busybox, and {python.stat().st_size >> 20} MB of Wasm"
        ):
            import_images(containerd, python)
        pod = containerd.pod("demo", HANDLER)
        with step(f"run a pod, runtime handler {HANDLER}"):
            pod.run()
        run_containers(containerd, pod)
    finally:
        with step("clean up"):
            containerd.stop()
    say(f"done in {time.monotonic() - begin:.1f} s")
    return 0


def import_images(containerd: Containerd, python: Path) -> None:
    """Write the images of both containers and hand them to containerd."""
    folder = containerd.folder
    containerd.import_image(images.busybox_image(folder / "busybox.tar"))
    config = images.ImageConfig(entrypoint=["/python.wasm", "/app/report.py"])
    files: dict[str, images.Content] = {"/python.wasm": python, "/app/report.py": REPORT}
    archive = images.build_image(folder / "python.tar", PYTHON_IMAGE, files, config)
    containerd.import_image(archive)


def run_containers(containerd: Containerd, pod: Pod) -> None:
    """Start both containers, the Wasm one twice, and show what they did."""
    readings, site = pod.volume("readings"), pod.volume("site")
    rows = write_readings(readings / "2025.csv")
    with step("start the Linux container: busybox httpd"):
        server = pod.start(httpd(site))
    with step("start the Wasm container: CPython, compiled once"):
        writer = pod.create(report(readings, site)).start(START_SECONDS)
    with step(f"wait for it: statistics of {rows} rows"):
        finish(writer)
    again = pod.create(report(readings, site))
    with step("start a second one: compiled code from the cache"):
        again.start(START_SECONDS)
    with step("wait for it"):
        finish(again)
    url = f"http://{pod.ip}:{PORT}/"
    with step(f"fetch {url}"):
        page = containerd.http_get(url)
    wait_for("the request in httpd's log", server.log)
    for container in (writer, server):
        lines = [f"{line.stream}: {line.text}" for line in container.log()]
        show(f"log of {container.spec.name}, {container.spec.image}", lines)
    show(f"{url} answers {page.status}, {page.headers['content-type']}", page_lines(page.body))
    say("")


def httpd(site: Path) -> ContainerSpec:
    """The Linux container: serves a volume."""
    command = ["httpd", "-f", "-v", "-p", str(PORT), "-h", "/site"]
    volume = Volume(site, "/site", readonly=True)
    return ContainerSpec("httpd", images.BUSYBOX, command, volumes=[volume])


def report(readings: Path, site: Path) -> ContainerSpec:
    """The Wasm container: reads one volume and writes the other."""
    return ContainerSpec(
        "report",
        PYTHON_IMAGE,
        args=["/readings/2025.csv", "/site/index.html"],
        env={"TITLE": "Temperatures of 2025"},
        volumes=[Volume(readings, "/readings", readonly=True), Volume(site, "/site")],
        user=1000,
        readonly_rootfs=True,
    )


def finish(container: Container) -> None:
    """Wait for the end of a container.

    Raises:
        RuntimeError: it failed; the text is its standard error.
    """
    status = container.wait(timeout=120)
    if status.exit_code != 0:
        raise RuntimeError(f"container ended with {status.exit_code}: {container.stderr}")
    container.wait_for_log("wrote")


def page_lines(body: bytes) -> list[str]:
    """The page as text: its heading, its paragraph, its table without the charts."""
    page = body.decode()
    lines = re.findall(r"<(?:h1|p)>(.*?)</(?:h1|p)>", page)
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL):
        cells = re.findall(r"<t[hd]>([^<]*)</t[hd]>", row)
        lines.append("".join(f"{cell:>11}" for cell in cells[:7]))
    return lines


if __name__ == "__main__":
    # Ends like Ctrl-C: through the cleaning up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
