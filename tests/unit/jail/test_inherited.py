import os
from typing import cast

import pytest

from shim.jail import drop_inherited
from shim.kernel.libc import Kernel
from tests.unit.jail.kernels import RecordingKernel


def test_everything_between_the_kept_descriptors_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"TOKEN": "x"})
    kernel = RecordingKernel()
    drop_inherited([7, 0, 2, 1, 5, 7], cast("Kernel", kernel))
    assert kernel.calls == [
        ("close_range", 3, 4),
        ("close_range", 6, 6),
        ("close_range", 8, 2**32 - 1),
    ]
    assert os.environ == {}
