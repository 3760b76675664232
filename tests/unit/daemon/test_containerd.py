"""Which containerd can use a shim over gRPC, by what its binary says."""

from pathlib import Path

import pytest

from shim.daemon.containerd import check_version, require_grpc_support
from shim.errdefs import FailedPreconditionError

MODULE = "containerd github.com/containerd/containerd"
WAY_OUT = 'set [shim] transport = "ttrpc" in the configuration'


@pytest.mark.parametrize(
    "text",
    [
        f"{MODULE} 1.7.24~ds1 1.7.24~ds1-6+deb13u1\n",
        f"{MODULE} v1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182",
        "containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da",
        "containerd github.com/k3s-io/containerd v1.7.23-k3s2 ",
        f"{MODULE} v1.7.0-rc.1 x",
    ],
)
def test_version_of_1_7_is_taken(text: str) -> None:
    check_version(text, "containerd")


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("1.6.20~ds1", "containerd 1.6 cannot use a shim over gRPC: it has no gRPC"),
        ("v1.5.0", "containerd 1.5 cannot .* no gRPC"),
        ("v2.0.0", "containerd 2.0 cannot .* it drops a shim's gRPC connection"),
        ("2.1.9+unknown", "containerd 2.1 cannot .* it drops"),
        ("v1.70.0", "containerd 1.70 cannot .* it drops"),
    ],
)
def test_other_version_is_refused_with_its_reason(version: str, reason: str) -> None:
    with pytest.raises(FailedPreconditionError, match=reason) as caught:
        check_version(f"{MODULE} {version} x", "containerd")
    assert str(caught.value).endswith(WAY_OUT)


@pytest.mark.parametrize("text", ["", "containerd", f"{MODULE} unknown", f"{MODULE} v1.7x", "1.7"])
def test_unknown_version_is_refused_and_says_so(text: str) -> None:
    with pytest.raises(FailedPreconditionError, match="'/x/ctd' --version says") as caught:
        check_version(text, "/x/ctd")
    assert str(caught.value).endswith(WAY_OUT)


def binary(tmp_path: Path, body: str) -> str:
    path = tmp_path / "containerd"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_binary_is_asked_for_its_version(tmp_path: Path) -> None:
    require_grpc_support(binary(tmp_path, f'test "$*" = --version && echo "{MODULE} v1.7.1 x"'))


@pytest.mark.parametrize("name", ["/no/such/containerd", ""])
def test_binary_that_cannot_be_run_is_refused(name: str) -> None:
    with pytest.raises(FailedPreconditionError, match="version is not known") as caught:
        require_grpc_support(name)
    assert str(caught.value).endswith(WAY_OUT)
