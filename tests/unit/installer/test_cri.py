"""Whether what containerd says of itself is what it was told."""

from typing import Any

import pytest

from runtimeclass.installer.cri import has_systemd_cgroups, is_loaded
from runtimeclass.installer.toml_edit import ANNOTATIONS, Handler

LOADED = {
    "runtimeType": "io.containerd.tandem.v1",
    "runtimePath": "",
    "PodAnnotations": list(ANNOTATIONS),
    "ContainerAnnotations": list(ANNOTATIONS),
    "options": None,
    "sandboxer": "podsandbox",
}


@pytest.mark.parametrize(
    ("change", "handler", "expected"),
    [
        ({}, Handler(), True),
        ({"runtimePath": "/x"}, Handler("/x"), True),
        ({"runtimePath": "/x"}, Handler(), False),
        ({}, Handler("/x"), False),
        ({"runtimeType": "io.containerd.other.v1"}, Handler(), False),
        ({"PodAnnotations": None}, Handler(), False),
        ({"options": {"SystemdCgroup": True}}, Handler(options={"SystemdCgroup": True}), True),
        (
            {"options": {"SystemdCgroup": True, "Root": ""}},
            Handler(options={"SystemdCgroup": True}),
            True,
        ),
        ({"options": {"SystemdCgroup": True}}, Handler(), False),
        ({"options": {"SystemdCgroup": False}}, Handler(), True),
        ({}, Handler(options={"SystemdCgroup": True}), False),
    ],
)
def test_loaded_is_what_the_table_says(
    change: dict[str, Any], handler: Handler, *, expected: bool
) -> None:
    assert is_loaded({**LOADED, **change}, handler) is expected


def test_nothing_loaded_is_no_handler() -> None:
    assert is_loaded(None, None)
    assert not is_loaded(None, Handler())
    assert not is_loaded(LOADED, None)


@pytest.mark.parametrize(
    ("runtimes", "expected"),
    [
        ({"runc": {"options": {"SystemdCgroup": True}}}, True),
        ({"runc": {"options": None}}, False),
        ({}, False),
    ],
)
def test_cgroups_are_runcs(runtimes: dict[str, Any], *, expected: bool) -> None:
    assert has_systemd_cgroups(runtimes) is expected
