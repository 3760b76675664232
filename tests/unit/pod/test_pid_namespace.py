"""A pid namespace that a spec names by its path: an instance's, another one, one that is gone."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Spec, parse_spec
from shim.pod.pid_namespace import is_an_instances, make_private

OWN = f"/proc/{os.getpid()}/ns/pid"


def spec_with(*namespaces: dict[str, str]) -> Spec:
    return parse_spec(json.dumps({"linux": {"namespaces": namespaces}}).encode())


@pytest.fixture
def another() -> Iterator[str]:
    """The pid namespace, this process's own as well, of a process that is no fork of it."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield f"/proc/{process.pid}/ns/pid"
        process.kill()


def test_namespace_of_a_fork_is_known() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        path = f"/proc/{pid}/ns/pid"
        assert is_an_instances(spec_with({"type": "network"}, {"type": "pid", "path": path}))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_namespace_of_another_process_is_left_alone(another: str) -> None:
    assert not is_an_instances(spec_with({"type": "pid", "path": another}))


def test_new_namespace_other_kinds_and_other_paths_are_left_alone() -> None:
    assert not is_an_instances(spec_with({"type": "pid"}))
    assert not is_an_instances(spec_with({"type": "network", "path": OWN}))
    assert not is_an_instances(spec_with({"type": "pid", "path": "/run/namespaces/1"}))


def test_namespace_of_a_process_that_is_gone_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="has ended"):
        is_an_instances(spec_with({"type": "pid", "path": "/proc/2147483647/ns/pid"}))


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
