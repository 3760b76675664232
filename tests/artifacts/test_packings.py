"""Every packing, from the registry through CRI into a pod, or containerd's error and the way round.

What is expected is in `expectations`; `Way.REPACK` has no test of its own, since the packings that
do run are the proof.
"""

import pytest

from tests.artifacts.conftest import Node, expect_run
from tests.artifacts.expectations import CRI, Outcome, Step, Way, outcome
from tests.artifacts.packings import PACKINGS, Packing
from tests.support.cri import CriError
from tests.support.packing import Artifact
from tests.support.pods import ContainerSpec, Pod

pytestmark = [pytest.mark.root, pytest.mark.containerd]

LINUX_OUTPUT, LINUX_STATUS = "linux", 3


@pytest.mark.parametrize("packing", PACKINGS, ids=lambda packing: packing.name)
def test_packing_by_cri(node: Node, pod: Pod, packing: Packing) -> None:
    expected = outcome(CRI, packing.name, node.line)
    artifact = packing.build(packing.name)
    with node.pushed(f"cri/{packing.name}", artifact) as image:
        error = node.pull(image)
        if expected.step == Step.PULL:
            assert expected.error in error
        else:
            assert error == ""
        spec = ContainerSpec(packing.name, image, packing.command)
        if expected.linux:
            expect_run(pod, ContainerSpec("linux", image), LINUX_OUTPUT, LINUX_STATUS)
        elif expected.step == Step.CREATE:
            with pytest.raises(CriError) as refused:
                pod.create(spec)
            assert expected.error in refused.value.text
        elif expected.step == Step.START:
            with pod.create(spec) as container, pytest.raises(CriError) as refused:
                container.start()
            assert expected.error in refused.value.text
        elif expected.step is None:
            expect_run(pod, spec, packing.output, packing.status)
    if expected.way not in {None, Way.REPACK}:
        go_round(node, pod, packing, artifact, expected)


def go_round(node: Node, pod: Pod, packing: Packing, artifact: Artifact, found: Outcome) -> None:
    """Run it in the way that the outcome names."""
    with node.pushed(f"cri/{packing.name}-round", artifact) as image:
        entry = f"{image.rpartition(':')[0]}@{artifact.blobs[-1].digest}"
        reference = entry if found.way in {Way.DIGEST, Way.DIGEST_RETRY} else image
        if found.way == Way.FETCH:
            node.containerd.ctr("content", "fetch", "--plain-http", image)
            node.containerd.cri.wait_for_image(image)
        else:
            error = node.pull(reference)
            assert bool(error) == (found.way != Way.DIGEST), error
        spec = ContainerSpec(packing.name, reference, packing.command)
        expect_run(pod, spec, packing.output, packing.status)
