"""The stack under test is the one that was asked for: no row of the matrix lies."""

import json
import re

import pytest

from tests.cri.conftest import Stack
from tests.support.containerd import Containerd

pytestmark = [pytest.mark.root, pytest.mark.containerd]

# release: how its containerd's version begins, and that of the runc and the crun of its PATH
VERSIONS = {
    "1.6": ("1.6.", "runc version 1.1.", "crun version 1.8."),
    "1.7": ("1.7.", "runc version 1.1.", "crun version 1.8."),
    "2.1": ("v?2.", "runc version 1.[3-9]", "crun version 1.[2-9][0-9]"),
}


def test_programs_are_those_of_the_release(containerd: Containerd, stack: Stack) -> None:
    found = containerd.cri.version().runtime_version
    runc, crun = (containerd.run([name, "--version"]).stdout for name in ("runc", "crun"))
    for text, pattern in zip((found, runc, crun), VERSIONS[stack.release], strict=True):
        assert re.match(pattern, text), text


def test_transport_is_the_chosen_one(containerd: Containerd, stack: Stack) -> None:
    bundles = containerd.folder / "state" / "io.containerd.runtime.v2.task" / "k8s.io"
    with containerd.pod("transport", "tandem") as pod:
        # Where each line looks after a restart: 1.x in `address`, for a bare address or JSON.
        noted = bundles / pod.id / ("bootstrap.json" if stack.release == "2.1" else "address")
        text = noted.read_text()
    protocol = json.loads(text)["protocol"] if text.startswith("{") else "ttrpc"
    assert protocol == stack.transport
