"""Three containers of a pod at full load: no wrong byte, no descriptor lost, no memory that grows.

By itself it lasts 20 seconds, in which only what grows fast shows; `make test-load` has it last ten
minutes, or as long as LOAD_SECONDS says.
"""

import random
import statistics
import time

import pytest

from tests.support import web_guests
from tests.support.containerd import Containerd
from tests.support.growth import Sample, growth, sample_of
from tests.support.waiting import wait_for
from tests.support.web_pod import WebServer, outcome_of, web_pod

pytestmark = [pytest.mark.root, pytest.mark.containerd]

_PROGRAMS = (web_guests.FETCH, web_guests.PYTHON, web_guests.CGI)
_CONNECTIONS = 50
_TIMEOUT_S = 60
_PAUSE_S = 0.5
# In the second half of this time. In less, what malloc keeps for each thread is not yet full; in
# seconds, what it has kept and not yet given back is more than any trend.
_LONG_S, _MOST_GROWTH = 600.0, 0.05
_SLACK_DESCRIPTORS = 2


@pytest.mark.timeout(0)
def test_full_load(containerd: Containerd, request: pytest.FixtureRequest) -> None:
    seconds = float(request.config.option.load_seconds)
    most = _MOST_GROWTH * max(1, _LONG_S / seconds)
    with web_pod(containerd, "load", _PROGRAMS, _TIMEOUT_S) as (_, servers):
        pids = {name: pid_of(server) for name, server in servers.items()}
        # what a server makes when it is first needed
        run(servers, pids, 2)
        before = {name: idle(pid) for name, pid in pids.items()}
        samples = run(servers, pids, seconds)
        for name, server in servers.items():
            report(name, samples[name])
            late = samples[name][len(samples[name]) // 2 :]
            assert growth([sample.resident for sample in late]) < most, name
            assert growth([sample.descriptors for sample in late]) < most, name
            # above what it was before, which a server without requests comes back to
            more = idle(pids[name]).descriptors - before[name].descriptors
            assert more <= _SLACK_DESCRIPTORS, name
            assert server.container.is_running()
            assert pid_of(server) == pids[name]


def pid_of(server: WebServer) -> int:
    """Its process on this machine."""
    return server.containerd.room.host_pid(server.container.info()["pid"])


def idle(pid: int) -> Sample:
    """A sample of a server that nobody asks any more, when it has let go of what it will."""

    def settled() -> Sample | None:
        found = set()
        for _ in range(4):
            found.add(sample_of(pid).descriptors)
            time.sleep(_PAUSE_S)
        return sample_of(pid) if len(found) == 1 else None

    return wait_for("a server that is idle", settled)


def run(
    servers: dict[str, WebServer], pids: dict[str, int], seconds: float
) -> dict[str, list[Sample]]:
    """Have all servers under load at the same time; samples of each."""
    options = ("--seconds", str(seconds), "--connections", str(_CONNECTIONS))
    loads = {name: server.load(*options) for name, server in servers.items()}
    samples: dict[str, list[Sample]] = {name: [] for name in servers}
    while all(load.poll() is None for load in loads.values()):
        time.sleep(_PAUSE_S)
        for name, pid in pids.items():
            samples[name].append(sample_of(pid))
    for name, load in loads.items():
        right, wrong = outcome_of(load)
        assert wrong == [], name
        assert right > _CONNECTIONS
        print(f"{name}: {right} requests in {seconds:.0f} s")
    return samples


def report(name: str, samples: list[Sample]) -> None:
    """Say what a server held, in quarters."""
    for number in range(4):
        part = samples[len(samples) * number // 4 : len(samples) * (number + 1) // 4]
        resident, proportional, descriptors = (
            statistics.median(getattr(sample, field) for sample in part)
            for field in ("resident", "proportional", "descriptors")
        )
        print(
            f"{name}, quarter {number + 1}: {resident / 1024:.1f} MiB resident,"
            f" {proportional / 1024:.1f} MiB of its own, {descriptors:.0f} descriptors"
        )


@pytest.mark.parametrize("seed", range(5))
def test_growth_is_told_from_noise(seed: int) -> None:
    chance = random.Random(seed)
    noise = [chance.gauss(200, 40) for _ in range(400)]
    grown = [value + index * 0.1 for index, value in enumerate(noise)]
    assert growth(noise) < 0.05 < growth(grown)
