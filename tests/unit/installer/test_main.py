"""The command line, its statuses, and the container that stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtimeclass.installer import errors
from runtimeclass.installer.errors import InstallerError
from runtimeclass.installer.options import Options, parse_options
from runtimeclass.installer.stay import waiting_command
from tests.support.waiting import wait_for

INSTALLER = (sys.executable, "-m", "runtimeclass.installer")


def call(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*INSTALLER, *arguments], capture_output=True, text=True, check=False)


def test_statuses_are_those_of_the_docstring() -> None:
    import runtimeclass.installer

    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, InstallerError)
    ]
    statuses = {each.status for each in kinds}
    assert len(statuses) == len(kinds)
    documented = runtimeclass.installer.__doc__ or ""
    assert all(f" {status} " in documented for status in statuses)


def test_failure_has_one_line_on_stdout_and_its_status(tmp_path: Path) -> None:
    done = call("install", "--root", tmp_path)
    assert done.returncode == 3
    assert done.stdout.startswith("install failed: no containerd runs here")
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["dance"], ["install", "--restart", "no"]])
def test_wrong_command_line(arguments: list[str]) -> None:
    assert call(*arguments).returncode == 2


def test_options_are_read() -> None:
    given = ["install", "--root", "/host", "--bundle", "/tandem", "--timeout", "5"]
    options = parse_options([*given, "--restart-command", "a 'b c'"], {"NODE_NAME": "n"})
    assert options == Options(
        "install",
        root=Path("/host"),
        bundle=Path("/tandem"),
        timeout_s=5.0,
        restart_command=("a", "b c"),
        node="n",
    )
    assert parse_options(["uninstall", "--wait", "9"], {}).wait_s == 9.0
    assert parse_options(["verify"], {}) == Options("verify")
    assert parse_options(["stay"], {}) == Options("stay")


def test_stay_waits_for_sigterm_in_little_memory() -> None:
    process = subprocess.Popen([*INSTALLER, "stay"])
    try:
        line = Path(f"/proc/{process.pid}/cmdline")
        wait_for("the waiting process", lambda: b"sigwait" in line.read_bytes())
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0])
        assert resident < 16 << 10
        time.sleep(0.1)
        assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_stay_starts_python_as_it_was_started() -> None:
    python = ["/b/python3", "-I", "/b/bin/tandem-installer", "stay"]
    loader = [b"/b/lib/ld.so", b"--library-path", b"/b/lib", b"--argv0", b"/b/python3", b"/b/py"]
    arguments = [word.encode() for word in python[1:]]
    line = b"".join(word + b"\0" for word in [*loader, *arguments])
    words = waiting_command(line, python)
    assert words[:6] == [word.decode() for word in loader]
    assert words[6:8] == ["-IS", "-c"]
    line = b"".join(word.encode() + b"\0" for word in python)
    assert waiting_command(line, python)[:3] == ["/b/python3", "-IS", "-c"]
