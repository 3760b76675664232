"""A pid namespace that a spec names by its path: the node's, another one, one that is gone."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Spec, parse_spec
from shim.pod.pid_namespace import is_the_nodes, make_private

OWN = f"/proc/{os.getpid()}/ns/pid"


def spec_with(*namespaces: dict[str, str]) -> Spec:
    return parse_spec(json.dumps({"linux": {"namespaces": namespaces}}).encode())


@pytest.fixture
def another() -> Iterator[str]:
    """The pid namespace of a process that has one of its own."""
    argv = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 60"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"/proc/{process.pid}/ns/pid_for_children"
        process.kill()


def test_own_namespace_is_known_by_any_path(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(OWN)
    for path in (OWN, "/proc/thread-self/ns/pid", str(link)):
        assert is_the_nodes(spec_with({"type": "network"}, {"type": "pid", "path": path}))


def test_another_namespace_is_left_alone(another: str) -> None:
    assert not is_the_nodes(spec_with({"type": "pid", "path": another}))


def test_new_namespace_and_none_are_left_alone() -> None:
    assert not is_the_nodes(spec_with({"type": "pid"}))
    assert not is_the_nodes(spec_with({"type": "network", "path": "/proc/self/ns/net"}))


def test_namespace_of_a_process_that_is_gone_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="has ended"):
        is_the_nodes(spec_with({"type": "pid", "path": "/proc/2147483647/ns/pid"}))


def test_config_is_rewritten_and_nothing_else_of_it_changed(tmp_path: Path) -> None:
    before: dict[str, Any] = {
        "process": {"args": ["x"]},
        "linux": {"namespaces": [{"type": "pid", "path": OWN}, {"type": "ipc", "path": "/p"}]},
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(before))
    make_private(config)
    before["linux"]["namespaces"][0] = {"type": "pid"}
    assert json.loads(config.read_text()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
