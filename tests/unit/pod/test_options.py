"""Runtime options as the different containerds hand them over."""

from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from shim.api import options_pb2, runc_options_pb2
from shim.config import Config, Linux
from shim.errdefs import InvalidArgumentError
from shim.linux.runtime import RuntimeOptions
from shim.pod.options import runtime_options

ROOT = Path("/run/tandem/runc/k8s.io")
CONFIG = Config(linux=Linux(runtime="crun", systemd_cgroup=True))
DEFAULT = RuntimeOptions("crun", ROOT, systemd_cgroup=True)


def packed(type_url: str, message: Message) -> Any:
    return Any(type_url=type_url, value=message.SerializeToString())


@pytest.mark.parametrize(
    "options",
    [
        Any(),
        Any(type_url="containerd.runc.v1.Options"),
        Any(type_url="some.newer.Options", value=b"\xff\xff"),
        packed("runtimeoptions.v1.Options", options_pb2.Options(type_url="x")),
        packed("runtimeoptions/v1/runtimeoptions.v1.Options", options_pb2.Options()),
    ],
)
def test_options_that_say_nothing_leave_the_nodes_configuration(options: Any) -> None:
    assert runtime_options(options, CONFIG, ROOT) == DEFAULT


@pytest.mark.parametrize("prefix", ["", "type.googleapis.com/"])
def test_options_of_runc_override(prefix: str) -> None:
    options = runc_options_pb2.Options(
        binary_name="runsc", root="/run/x", no_pivot_root=True, no_new_keyring=True
    )
    found = runtime_options(packed(f"{prefix}containerd.runc.v1.Options", options), Config(), ROOT)
    assert found == RuntimeOptions(
        "runsc", Path("/run/x/k8s.io"), no_pivot_root=True, no_new_keyring=True
    )


@pytest.mark.parametrize("url", ["runtimeoptions.v1.Options", "x/runtimeoptions.v1.Options"])
def test_options_carry_a_configuration(url: str) -> None:
    body = options_pb2.Options(config_body=b'[linux]\nruntime = "youki"')
    assert runtime_options(packed(url, body), CONFIG, ROOT) == RuntimeOptions("youki", ROOT)


def test_options_name_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[linux]\nsystemd_cgroup = true")
    options = packed("runtimeoptions.v1.Options", options_pb2.Options(config_path=str(path)))
    assert runtime_options(options, Config(), ROOT) == RuntimeOptions("runc", ROOT, True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Any(type_url="containerd.runc.v1.Options", value=b"\xff"), "cannot be decoded"),
        (Any(type_url="runtimeoptions.v1.Options", value=b"\xff"), "cannot be decoded"),
        (
            packed("runtimeoptions.v1.Options", options_pb2.Options(config_path="/no/such")),
            "/no/such does not exist",
        ),
        (
            packed("runtimeoptions.v1.Options", options_pb2.Options(config_body=b"\xff")),
            "in the runtime options is not valid TOML",
        ),
        (
            packed("runtimeoptions.v1.Options", options_pb2.Options(config_body=b"x = 1")),
            "unknown key 'x'",
        ),
    ],
)
def test_options_that_are_unusable_are_refused(options: Any, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        runtime_options(options, CONFIG, ROOT)


def of_body(text: str) -> Any:
    options = options_pb2.Options(config_body=text.encode())
    return packed("runtimeoptions.v1.Options", options)


RUNCS = """
TypeUrl = "containerd.runc.v1.Options"
BinaryName = "crun"
Root = "/run/x"
SystemdCgroup = true
NoPivotRoot = true
NoNewKeyring = true
ShimCgroup = "/ignored"
IoUid = 1000
IoGid = 1001
"""


def test_options_in_runcs_names_are_runcs() -> None:
    """As `[plugins...runtimes.tandem.options]` comes from containerd 1.7 on."""
    assert runtime_options(of_body(RUNCS), Config(), ROOT) == RuntimeOptions(
        "crun",
        Path("/run/x/k8s.io"),
        systemd_cgroup=True,
        no_pivot_root=True,
        no_new_keyring=True,
        io_owner=(1000, 1001),
    )


@pytest.mark.parametrize("name", ["BinaryName", "Root", "SystemdCgroup", "IoUid"])
def test_options_in_runcs_names_are_each_without_the_others(name: str) -> None:
    line = next(line for line in RUNCS.splitlines() if line.startswith(name))
    found = runtime_options(of_body(line), Config(), ROOT)
    assert found != RuntimeOptions("runc", ROOT)
    assert runtime_options(of_body(""), Config(), ROOT) == RuntimeOptions("runc", ROOT)


def test_options_in_runcs_names_leave_the_rest_to_the_node() -> None:
    assert runtime_options(of_body('Root = "/run/x"'), CONFIG, ROOT) == RuntimeOptions(
        "crun", Path("/run/x/k8s.io"), systemd_cgroup=True
    )


def test_options_may_hold_both_runcs_names_and_our_tables() -> None:
    body = 'BinaryName = "youki"\n[linux]\nruntime = "other"\nsystemd_cgroup = true\n'
    assert runtime_options(of_body(body), Config(), ROOT) == RuntimeOptions(
        "youki", ROOT, systemd_cgroup=True
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("BinaryName = 7", "BinaryName cannot be 7"),
        ("Root = true", "Root cannot be True"),
        ('SystemdCgroup = "yes"', "SystemdCgroup cannot be 'yes'"),
        ("NoPivotRoot = []", r"NoPivotRoot cannot be \[\]"),
        ('IoUid = "root"', "IoUid cannot be 'root'"),
        ("IoUid = -1", "IoUid cannot be -1"),
        ("IoGid = 4294967296", "IoGid cannot be 4294967296"),
        ("BinaryName = {}", "BinaryName cannot be {}"),
        ("BinaryName = 2020-01-01", "BinaryName cannot be datetime"),
        ('Binaryname = "crun"', "unknown key 'Binaryname'"),
        ('BinaryName = "a"\n[linux]\nruntim = "b"', "unknown key"),
        ("[BinaryName]\nx = 1", "BinaryName cannot be"),
    ],
)
def test_options_of_the_wrong_type_are_refused_by_their_name(body: str, text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        runtime_options(of_body(body), CONFIG, ROOT)
