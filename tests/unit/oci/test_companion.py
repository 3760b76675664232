"""The config.json of a companion: the container's own, and no way to the node's devices."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError, UnimplementedError
from shim.oci.companion import companion_config

ROOTFS = Path("/run/c/rootfs")
INSTANCE = {kind: Path(f"/proc/7/ns/{kind}") for kind in ("network", "ipc", "uts", "pid")}
SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
CONFIG: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "process": {"args": ["/app.wasm"], "cwd": "/"},
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "pod",
    "domainname": "cluster.local",
    "hooks": {"createRuntime": [{"path": "/bin/hook"}]},
    "annotations": {"a": "b"},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["newinstance"],
        },
        {"destination": "/data", "type": "bind", "source": "/vol", "options": ["rbind", "dev"]},
        {"destination": "/cache", "type": "tmpfs", "source": "tmpfs"},
    ],
    "linux": {
        "cgroupsPath": "/pod/c",
        "namespaces": [
            {"type": "network", "path": "/run/netns/x"},
            {"type": "ipc"},
            {"type": "uts"},
            {"type": "pid"},
            {"type": "mount"},
            {"type": "cgroup"},
        ],
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
        "resources": {"memory": {"limit": 1}},
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
    },
}
PROCESS: dict[str, Any] = {
    "args": ["/bin/sh"],
    "capabilities": {name: ["CAP_CHOWN", "CAP_MKNOD"] for name in SETS},
    "user": {"uid": 3},
}


def made(config: dict[str, Any] = CONFIG, process: Any = PROCESS) -> dict[str, Any]:
    return companion_config(config, process, ROOTFS, INSTANCE, "/pod/c.exec-0")


def with_linux(**members: Any) -> dict[str, Any]:
    return {**CONFIG, "linux": {**CONFIG["linux"], **members}}


def by_type(config: dict[str, Any]) -> dict[str, str]:
    return {entry["type"]: entry.get("path", "") for entry in config["linux"]["namespaces"]}


def test_companion_is_the_container_with_another_process() -> None:
    config = made()
    assert config["process"]["args"] == ["/bin/sh"]
    assert config["process"]["user"] == {"uid": 3}
    assert config["root"] == {"path": str(ROOTFS), "readonly": True}
    assert config["linux"]["cgroupsPath"] == "/pod/c.exec-0"
    assert config["annotations"] == CONFIG["annotations"]
    for name in ("seccomp", "resources", "maskedPaths", "readonlyPaths"):
        assert config["linux"][name] == CONFIG["linux"][name]


def test_companion_leaves_alone_what_the_container_has_done_once() -> None:
    config = made()
    assert {"hooks", "hostname", "domainname"}.isdisjoint(config)
    assert "sysctl" not in config["linux"]


def test_companion_is_in_the_instances_namespaces_and_the_pid_namespace_that_is_held() -> None:
    assert by_type(made()) == {
        "network": "/run/netns/x",
        "ipc": "/proc/7/ns/ipc",
        "uts": "/proc/7/ns/uts",
        "pid": "/proc/7/ns/pid",
        "cgroup": "",
        "mount": "",
    }


def test_companion_joins_the_pid_namespace_that_the_spec_joins() -> None:
    namespaces = [{"type": "pid", "path": "/proc/9/ns/pid"}]
    assert by_type(made(with_linux(namespaces=namespaces))) == {
        "pid": "/proc/9/ns/pid",
        "mount": "",
    }


def test_companion_of_a_container_on_the_node_s_network_is_there_too() -> None:
    config = made(with_linux(namespaces=[{"type": "ipc"}]))
    assert by_type(config) == {"ipc": "/proc/7/ns/ipc", "pid": "/proc/7/ns/pid", "mount": ""}


@pytest.mark.parametrize("namespaces", [None, []])
def test_companion_is_never_in_the_nodes_pid_namespace_where_the_spec_names_nothing(
    namespaces: object,
) -> None:
    assert by_type(made(with_linux(namespaces=namespaces))) == {
        "pid": "/proc/7/ns/pid",
        "mount": "",
    }
    bare = made({"process": {}}, {"args": ["/x"]})
    assert by_type(bare) == {"pid": "/proc/7/ns/pid", "mount": ""}
    assert bare["mounts"] == []


@pytest.mark.parametrize("path", ["", "/proc/9/ns/user"])
def test_companion_does_not_leave_a_user_namespace(path: str) -> None:
    """Outside it, its user 0 would be the node's."""
    namespaces = [{"type": "user", **({"path": path} if path else {})}]
    with pytest.raises(UnimplementedError, match="user namespace"):
        made(with_linux(namespaces=namespaces))


def test_companion_s_mounts_have_no_devices() -> None:
    options = {mount["destination"]: mount.get("options") for mount in made()["mounts"]}
    assert options == {
        "/proc": ["nosuid", "nodev"],
        "/dev": ["nosuid"],
        "/dev/pts": ["newinstance"],
        "/data": ["rbind", "nodev", "rnodev"],
        "/cache": ["nodev"],
    }


def test_companion_s_volume_at_dev_is_a_volume() -> None:
    """Whoever writes the pod says where a volume goes, and others what is in it."""
    mount = {"destination": "/dev", "type": "bind", "source": "/vol", "options": ["rbind"]}
    (changed,) = made({**CONFIG, "mounts": [mount]})["mounts"]
    assert changed["options"] == ["rbind", "nodev", "rnodev"]


OPTIONS = st.lists(
    st.sampled_from(["dev", "rdev", "nodev", "rnodev", "rbind", "bind", "ro", "suid"])
)
MOUNTS = st.lists(
    st.fixed_dictionaries(
        {
            "destination": st.sampled_from(["/dev", "/dev/", "/dev/shm", "/dev/pts", "/data", "/"]),
            "type": st.sampled_from(["bind", "tmpfs", "proc", "devpts", "none", "nfs"]),
        },
        optional={"options": st.none() | OPTIONS, "source": st.just("/x")},
    )
)


@given(mounts=MOUNTS)
def test_companion_s_every_mount_is_nodev_but_those_that_the_runtime_fills(
    mounts: list[dict[str, Any]],
) -> None:
    config = {**CONFIG, "mounts": mounts}
    before = copy.deepcopy(config)
    changed = made(config)["mounts"]
    assert config == before
    assert [mount["destination"] for mount in changed] == [m["destination"] for m in mounts]
    for mount in changed:
        filled = mount["type"] == "devpts" or (mount["type"], mount["destination"]) == (
            "tmpfs",
            "/dev",
        )
        if filled:
            assert mount in mounts
            continue
        options = mount["options"]
        assert "nodev" in options
        assert {"dev", "rdev"}.isdisjoint(options)
        if mount["type"] == "bind" or {"bind", "rbind"} & set(options):
            assert "rnodev" in options


@given(
    st.dictionaries(
        st.sampled_from(SETS),
        st.none() | st.lists(st.sampled_from(["CAP_MKNOD", "CAP_CHOWN", "CAP_SYS_ADMIN"])),
    )
)
def test_companion_can_make_no_device(capabilities: dict[str, list[str] | None]) -> None:
    process = {"args": ["/x"], "capabilities": capabilities}
    before = copy.deepcopy(process)
    got = made(process=process)["process"].get("capabilities") or {}
    assert process == before
    for name, given_ones in capabilities.items():
        assert "CAP_MKNOD" not in (got.get(name) or [])
        assert set(got.get(name) or []) == set(given_ones or []) - {"CAP_MKNOD"}


@pytest.mark.parametrize("process", [None, [], "sh", 7])
def test_companion_of_no_process_is_refused(process: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="process is not an object"):
        made(process=process)
