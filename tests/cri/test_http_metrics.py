"""A served component as its operator sees it: health, numbers and fuel, by annotations alone."""

import pytest

from tests.support import cgi_guest, guests, http_guest, images
from tests.support.containerd import Containerd
from tests.support.metrics import Samples, samples_of
from tests.support.pods import ContainerSpec, Pod
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]

IMAGE = "localhost/http-measured:1"
PROGRAM = "localhost/cgi-measured:1"
PREFIX = "io.containerd.tandem.v1"
FUEL = "200000000"
WATCHED = {
    f"{PREFIX}/http-health": "/.well-known/tandem/health",
    f"{PREFIX}/http-metrics": "0.0.0.0:9464",
    f"{PREFIX}/http-timeout-s": "2",
}


@pytest.fixture(scope="module", autouse=True)
def _images(containerd: Containerd) -> None:
    component = guests.binary(http_guest.component())
    for name, binary in ((IMAGE, component), (PROGRAM, cgi_guest.program().read_bytes())):
        archive = containerd.folder / f"{name.rpartition('/')[2]}.tar"
        containerd.import_image(images.wasm_image(archive, name, binary))


def status_of(containerd: Containerd, pod: Pod, path: str) -> int:
    return containerd.http_get(f"http://{pod.ip}:8080{path}").status


def numbers(containerd: Containerd, pod: Pod) -> Samples:
    page = containerd.http_get(f"http://{pod.ip}:9464/metrics")
    assert page.status == 200
    return samples_of(page.body.decode())


def is_idle(found: Samples, requests: int) -> bool:
    """Whether so many are answered, and all guests gone: the page may be a moment old."""
    found = Samples(found)
    answered = found.pop("tandem_http_request_duration_seconds_count")
    return answered == requests and found.pop("tandem_http_instances_live") == 0


def test_health_and_numbers(containerd: Containerd) -> None:
    with containerd.pod("http-metrics", "tandem") as pod:
        server = pod.start(
            ContainerSpec(
                "server",
                IMAGE,
                user=1000,
                readonly_rootfs=True,
                default_seccomp=True,
                annotations=WATCHED,
            )
        )
        server.wait_for_log("metrics on http://0.0.0.0:9464/metrics")
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        asked = {"/a": (200, 9), "/t": (500, 3), "/l": (504, 1)}
        for path, (status, times) in asked.items():
            found = [status_of(containerd, pod, path) for _ in range(times)]
            assert found == [status] * times
        page = containerd.http_get(f"http://{pod.ip}:8080/.well-known/tandem/health")
        assert (page.status, page.body) == (200, b"200 OK\n")
        wait_for("end of thirteen requests", lambda: is_idle(numbers(containerd, pod), 13))
        samples = numbers(containerd, pod)
        assert samples.pop("tandem_http_requests_total", method="GET", status="2xx") == 9
        assert samples.pop("tandem_http_requests_total", method="GET", status="5xx") == 4
        assert samples.pop("tandem_http_traps_total") == 3
        assert samples.pop("tandem_http_over_limit_total", limit="timeout_s") == 1
        assert samples.pop("tandem_http_instances_made_total") == 13
        assert samples.pop("tandem_http_cold_start_seconds_count") == 1
        assert samples.pop("tandem_build_info", wasmtime="50.0.1") == 1
        taken = pod.start(ContainerSpec("taken", IMAGE, annotations=other_port(WATCHED)))
        assert taken.wait().exit_code == 1
        taken.wait_for_log("cannot listen on 0.0.0.0:9464 (metrics): Address already in use")
        assert server.stop().exit_code == 0


def other_port(annotations: dict[str, str]) -> dict[str, str]:
    return annotations | {f"{PREFIX}/http-listen": "0.0.0.0:8081"}


@pytest.mark.parametrize(
    ("image", "more", "good", "endless"),
    [
        (IMAGE, {}, "/a", "/l"),
        (PROGRAM, {f"{PREFIX}/cgi": "true"}, "/count", "/loop"),
    ],
    ids=["component", "program"],
)
def test_fuel(
    containerd: Containerd, image: str, more: dict[str, str], good: str, endless: str
) -> None:
    """Long before the time limit; the next request has all of it again."""
    with containerd.pod("http-fuel", "tandem") as pod:
        annotations = {f"{PREFIX}/http-fuel": FUEL, **more}
        server = pod.start(ContainerSpec("server", image, annotations=annotations))
        server.wait_for_log("serving HTTP")
        for _ in range(2):
            assert status_of(containerd, pod, endless) == 504
            assert status_of(containerd, pod, good) == 200
        server.wait_for_log(
            f"GET {endless}: 504: the guest took more than {FUEL} instructions"
            " ([http] fuel, annotation http-fuel)"
        )
        if image == PROGRAM:
            # What is executed in it answers no request, and has no limit.
            (program,) = server.info()["runtimeSpec"]["process"]["args"]
            assert server.exec(f"{program}#other").exit_code == 0
        assert server.stop().exit_code == 0


def test_what_does_not_serve_is_not_metered(containerd: Containerd) -> None:
    """An annotation reaches all containers of a pod; a function of a program has no limit."""
    with containerd.pod("http-fuel-none", "tandem") as pod:
        annotations = {f"{PREFIX}/http-fuel": "1"}
        env = {"PATH_INFO": "/count"}
        ended = pod.start(ContainerSpec("program", PROGRAM, env=env, annotations=annotations))
        assert ended.wait().exit_code == 0
        ended.wait_for_log("asked for /count")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("fuel", "much", "http-fuel is 'much', and not a positive number"),
        ("health", "health", "http-health is 'health', and not a path"),
        ("metrics", "9464", "http-metrics is '9464', and not an address with a port"),
    ],
)
def test_what_an_annotation_cannot_mean(
    containerd: Containerd, name: str, value: str, said: str
) -> None:
    with containerd.pod("http-wrong", "tandem") as pod:
        annotations = {f"{PREFIX}/http-{name}": value}
        with pytest.raises(Exception, match=said):
            pod.start(ContainerSpec("wrong", IMAGE, annotations=annotations))
