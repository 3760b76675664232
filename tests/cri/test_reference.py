"""What only runc's own shim is asked: proof that the harness itself can tell."""

import pytest

from tests.cri.conftest import REFERENCE
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import ContainerSpec

pytestmark = [pytest.mark.root, pytest.mark.containerd]


def test_unknown_handler_and_image_are_refused(containerd: Containerd) -> None:
    with pytest.raises(CriError, match="no-such-handler"):
        containerd.pod("handler", "no-such-handler").run()
    with (
        containerd.pod("image", REFERENCE.handler) as pod,
        pytest.raises(CriError, match="no-such-image"),
    ):
        pod.create(ContainerSpec("x", "localhost/no-such-image:1"))
