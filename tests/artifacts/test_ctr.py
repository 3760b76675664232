"""Every packing, from the registry through `ctr images pull` and `ctr run`, or ctr's error."""

import pytest

from tests.artifacts.conftest import RUNTIME, Node
from tests.artifacts.expectations import CTR, Step, outcome
from tests.artifacts.packings import PACKINGS, Packing

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@pytest.mark.parametrize("packing", PACKINGS, ids=lambda packing: packing.name)
def test_packing_by_ctr(node: Node, packing: Packing) -> None:
    expected = outcome(CTR, packing.name, node.line)
    platform = ["--platform", packing.platform] if packing.platform else []
    with node.pushed(f"ctr/{packing.name}", packing.build(packing.name)) as image:
        pulled = node.ctr("images", "pull", "--plain-http", *platform, image)
        if expected.step == Step.PULL:
            assert pulled.returncode != 0
            assert expected.error in pulled.stderr
            return
        assert pulled.returncode == 0, pulled.stderr
        options = ["--rm", "--runtime", RUNTIME, *platform]
        ran = node.ctr("run", *options, image, f"ctr-{packing.name}", *packing.command)
        if expected.step == Step.CREATE:
            assert ran.returncode == 1
            assert expected.error in ran.stderr
        else:
            assert (ran.stdout, ran.returncode) == (packing.output, packing.status), ran.stderr
