"""config.json as containerd writes it, and as nobody should."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import (
    Hook,
    LinuxNamespace,
    Mount,
    Resources,
    Rlimit,
    Spec,
    User,
    parse_resources,
    parse_spec,
)

FULL: dict[str, Any] = {
    "ociVersion": "1.1.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "pod",
    "process": {
        "terminal": True,
        "args": ["/app.wasm", "-x"],
        "env": ["A=1"],
        "cwd": "/data",
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 18},
        "capabilities": {"effective": ["CAP_CHOWN"], "bounding": ["CAP_SYS_ADMIN"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}],
        "noNewPrivileges": True,
        "oomScoreAdj": -998,
    },
    "mounts": [
        {"destination": "/v", "type": "bind", "source": "/s", "options": ["rbind", "ro"]},
        {"destination": "/i", "source": "/s", "uidMappings": [{"containerID": 0}]},
    ],
    "annotations": {"k": "v"},
    "hooks": {"prestart": []},
    "linux": {
        "cgroupsPath": "/kubepods/x",
        "namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}],
        "resources": {
            "memory": {"limit": 1 << 20, "reservation": 5, "swap": -1},
            "cpu": {"shares": 2, "quota": 1000, "period": 100000, "cpus": "0-1", "mems": "0"},
            "pids": {"limit": 7},
            "unified": {"memory.high": "3", "io.max": "x"},
        },
        "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"},
        "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    },
}


def parse(document: object) -> Spec:
    return parse_spec(json.dumps(document).encode())


def reads_or_names_config_json(document: bytes) -> bool:
    try:
        parse_spec(document)
    except InvalidArgumentError as error:
        return str(error).startswith("config.json")
    return True


def test_spec_reads_every_member() -> None:
    spec = parse(FULL)
    process, resources = spec.process, spec.resources

    assert (spec.root_path, spec.root_readonly, spec.hostname) == ("rootfs", True, "pod")
    assert (process.args, process.env, process.cwd) == (("/app.wasm", "-x"), ("A=1",), "/data")
    assert process.user == User(1000, 1001, (5, 6), 18)
    assert process.effective_capabilities == {"CAP_CHOWN"}
    assert process.rlimits == (Rlimit("RLIMIT_NOFILE", 10, 20),)
    assert (process.no_new_privileges, process.oom_score_adj, process.terminal) == (
        True,
        -998,
        True,
    )
    assert spec.mounts == (
        Mount("/v", "bind", "/s", ("rbind", "ro")),
        Mount("/i", "", "/s", (), id_mapped=True),
    )
    assert spec.annotations == {"k": "v"}
    assert spec.namespaces == (
        LinuxNamespace("pid"),
        LinuxNamespace("network", "/proc/1/ns/net"),
    )
    assert spec.cgroups_path == "/kubepods/x"
    assert (resources.memory_limit_bytes, resources.memory_swap_bytes) == (1 << 20, -1)
    assert (resources.cpu_quota_us, resources.cpu_period_us) == (1000, 100000)
    assert (resources.cpuset_cpus, resources.pids_limit) == ("0-1", 7)
    assert resources.unified == (("io.max", "x"), ("memory.high", "3"))
    assert spec.seccomp == {"defaultAction": "SCMP_ACT_ERRNO"}
    assert spec.uid_mappings == ((0, 100000, 65536),)
    assert spec.hooks == {}


@pytest.mark.parametrize("member", sorted(FULL))
def test_spec_treats_null_like_absent(member: str) -> None:
    without = {name: value for name, value in FULL.items() if name != member}
    assert parse({**FULL, member: None}) == parse(without)


def test_spec_of_nothing_has_the_defaults() -> None:
    assert parse({}) == Spec()


def test_spec_sees_hooks() -> None:
    hooks = parse(
        {"hooks": {"poststop": [{"path": "/bin/true", "timeout": 3}], "prestart": []}}
    ).hooks
    assert hooks == {"poststop": (Hook("/bin/true", timeout_s=3),)}


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ([], "config.json: the document is not an object"),
        ({"process": []}, "config.json: process is not an object"),
        ({"process": {"args": "x"}}, "config.json: process.args is not a list"),
        ({"process": {"args": [1]}}, "config.json: process.args holds more than str values"),
        ({"process": {"user": {"uid": "0"}}}, "config.json: process.user.uid is not an int"),
        ({"process": {"user": {"uid": True}}}, "config.json: process.user.uid is not an int"),
        ({"process": {"user": {"additionalGids": [True]}}}, "additionalGids holds more than int"),
        ({"process": {"oomScoreAdj": 1.5}}, "config.json: process.oomScoreAdj is not an int"),
        ({"mounts": [{}, {"options": {}}]}, r"config.json: mounts\[1\].options is not a list"),
        ({"mounts": [[]]}, r"config.json: mounts\[0\] is not an object"),
        ({"annotations": {"a": 1}}, r"config.json: annotations\['a'\] is not a str"),
        ({"linux": {"namespaces": {}}}, "config.json: linux.namespaces is not a list"),
        ({"linux": {"resources": {"pids": {"limit": "1"}}}}, "linux.resources.pids.limit"),
        ({"hooks": []}, "config.json: hooks is not an object"),
        ({"process": {"args": ["a\0b"]}}, "config.json: process.args: 'a.x00b' holds a NUL"),
        ({"process": {"cwd": "/\ud800"}}, "config.json: process.cwd: .* a lone surrogate"),
        ({"process": {"user": {"uid": 2**70}}}, "process.user.uid: does not fit into 64 bits"),
    ],
)
def test_spec_names_the_member_of_the_wrong_type(document: object, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        parse(document)


def test_resources_alone_are_read_as_in_a_spec() -> None:
    document = FULL["linux"]["resources"] | {"memory": {"checkBeforeUpdate": True, "limit": -1}}
    resources = parse_resources(json.dumps(document).encode())
    assert (resources.memory_limit_bytes, resources.memory_check_before_update) == (-1, True)
    assert (resources.cpu_quota_us, resources.pids_limit) == (1000, 7)
    assert parse_resources(b"{}") == Resources()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (b'{"memory": {"limit": "1"}}', "resources.memory.limit is not an int"),
        (b'{"cpu": []}', "resources.cpu is not an object"),
        (b'{"unified": {"a": 1}}', r"resources.unified\['a'\] is not a str"),
        (b'{"memory": {"limit": 99999999999999999999}}', "resources.memory.limit: does not fit"),
        (b"[]", "resources is not an object"),
        (b"{", "resources is not valid JSON: "),
    ],
)
def test_resources_alone_name_the_member_of_the_wrong_type(document: bytes, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{text}"):
        parse_resources(document)


@given(st.binary())
@example(b"")
@example(b"\xff")
@example(b"[" * 200_000)
@example(b"1" * 10_000)
def test_spec_hostile_bytes_are_refused(document: bytes) -> None:
    assert reads_or_names_config_json(document)


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=5,
)


@given(junk, st.data())
def test_spec_with_junk_at_any_place_is_refused_or_read(value: object, data: st.DataObject) -> None:
    document = json.loads(json.dumps(FULL))
    node: Any = document
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(1)))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = value
    assert reads_or_names_config_json(json.dumps(document).encode())
