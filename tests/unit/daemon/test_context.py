"""A child of the daemon takes the launcher's place, seen from a process that does so."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from shim.daemon.context import adopt
from shim.errdefs import InternalError

pytestmark = pytest.mark.root

# What adopt(pid, cwd) has made of the process that calls it.
_PROGRAM = """
import json, os, resource, sys
from shim.daemon.context import adopt
adopt(int(sys.argv[1]), sys.argv[2])
umask = os.umask(0)
print(json.dumps({
    "cwd": os.getcwd(),
    "umask": umask,
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
    "oom_score_adj": int(open("/proc/self/oom_score_adj").read()),
    "hostname": os.uname().nodename,
    "net": sorted(os.listdir("/sys/class/net")),
    "marker": os.path.exists(sys.argv[3]),
    **{name: os.readlink("/proc/self/ns/" + name) for name in ("net", "ipc", "uts", "mnt", "pid")},
}))
"""

Launch = Callable[..., int]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start a stand-in for the launcher: says `ready`, then sleeps."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(script: str = "", *, unshare: Sequence[str] = ()) -> int:
        command = ["sh", "-c", f"{script}\necho ready\nexec sleep 100"]
        if unshare:
            command = ["unshare", *unshare, *command]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def adopted(pid: int, cwd: str = "/", marker: str = "/none") -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(pid), cwd, marker],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_context_takes_over_umask_limits_oom_score_and_directory(
    launch: Launch, tmp_path: Path
) -> None:
    pid = launch("umask 027; ulimit -n 345; echo 321 > /proc/self/oom_score_adj")
    found = adopted(pid, str(tmp_path))
    assert found["cwd"] == str(tmp_path)
    assert found["umask"] == 0o027
    assert found["nofile"] == [345, 345]
    assert found["oom_score_adj"] == 321


@pytest.mark.parametrize(
    ("flag", "names"),
    [
        ("--uts", {"uts"}),
        ("--net", {"net"}),
        ("--ipc", {"ipc"}),
        ("--mount", {"mnt"}),
        ("-umin", {"uts", "mnt", "ipc", "net"}),
    ],
)
def test_context_joins_the_namespaces_that_differ(
    launch: Launch, flag: str, names: set[str]
) -> None:
    pid = launch(unshare=[flag])
    found = adopted(pid)
    for name in ("net", "ipc", "uts", "mnt", "pid"):
        assert found[name] == os.readlink(f"/proc/{pid}/ns/{name}")
        assert (found[name] != os.readlink(f"/proc/self/ns/{name}")) == (name in names)


def test_context_sees_the_host_name_and_mounts_of_the_launcher(
    launch: Launch, tmp_path: Path
) -> None:
    script = (
        f"mount -t tmpfs none {tmp_path}; mkdir {tmp_path}/bundle\n"
        "echo launcher > /proc/sys/kernel/hostname"
    )
    pid = launch(script, unshare=["--mount", "--uts"])
    found = adopted(pid, str(tmp_path / "bundle"), str(tmp_path / "bundle"))
    assert found["hostname"] == "launcher"
    assert found["marker"]
    assert not (tmp_path / "bundle").exists()


def test_context_without_a_working_directory_is_an_error(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        with pytest.raises(InternalError, match=f"working directory {tmp_path}/gone: No such"):
            adopt(os.getpid(), str(tmp_path / "gone"))
    finally:
        os.umask(umask)


def test_context_of_a_launcher_that_is_gone_is_an_error() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(InternalError, match="net namespace of the launcher"):
        adopt(process.pid, "/")
