import pytest

from shim.cgroup.names import cgroupfs_path, systemd_path
from shim.errdefs import InvalidArgumentError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/kubepods/burstable/pod1/abc", "kubepods/burstable/pod1/abc"),
        ("default/hello", "default/hello"),
        ("//a//b/", "a/b"),
        ("/../../a", "a"),
        ("/a/../b", "b"),
    ],
)
def test_a_cgroupfs_name_is_a_path_below_the_hierarchy(name: str, expected: str) -> None:
    assert cgroupfs_path(name) == expected


@pytest.mark.parametrize("name", ["/", "", "/..", "/a/..", "."])
def test_the_root_group_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names no group of its own"):
        cgroupfs_path(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "kubepods-burstable-pod1.slice:cri-containerd:abc",
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/"
            "cri-containerd-abc.scope",
        ),
        ("user.slice:x:y", "user.slice/x-y.scope"),
        (":runc:id", "system.slice/runc-id.scope"),
        ("-.slice:runc:id", "runc-id.scope"),
        ("a.slice::id", "a.slice/id.scope"),
        ("a.slice:x:b.slice", "a.slice/b.slice"),
    ],
)
def test_a_systemd_name_expands_to_nested_slices(name: str, expected: str) -> None:
    assert systemd_path(name) == expected


@pytest.mark.parametrize("name", ["/kubepods/x", "a:b", "a.slice:b:", "a:b:c:d"])
def test_a_name_without_three_parts_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="slice:prefix:name"):
        systemd_path(name)


@pytest.mark.parametrize("name", ["noslice:b:c", "a--b.slice:b:c", "-a.slice:b:c"])
def test_what_is_no_slice_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not the name of a systemd slice"):
        systemd_path(name)


def test_a_systemd_name_cannot_climb() -> None:
    with pytest.raises(InvalidArgumentError, match="names no group of its own"):
        systemd_path("a.slice:/../../..:x/../y")
