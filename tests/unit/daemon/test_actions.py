"""One call, from request to answer: whatever goes wrong is a line on stderr and status 1."""

import os
from pathlib import Path

import pytest

import shim
from shim.api import info_pb2, task_pb2
from shim.daemon import actions
from shim.daemon.actions import perform
from shim.daemon.request import Answer, Request
from shim.rundir import RunDir

FLAGS = ("-namespace", "n", "-address", "/c.sock", "-id", "c")


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "d.sock")
    run_dir.create()
    return run_dir


def ask(run_dir: RunDir, *words: str, cwd: str = "/") -> Answer:
    outcome = perform(Request(("shim", *words), (), cwd), run_dir, None)
    assert outcome.pod is None
    return outcome.answer


def test_version_and_info(run_dir: RunDir) -> None:
    assert shim.__version__.encode() in ask(run_dir, "-v").stdout
    assert info_pb2.RuntimeInfo.FromString(ask(run_dir, "-info").stdout).name


def test_delete_of_nothing(run_dir: RunDir, tmp_path: Path) -> None:
    answer = ask(run_dir, *FLAGS, "delete", cwd=str(tmp_path))
    assert (answer.status, answer.stderr) == (0, b"")
    assert task_pb2.DeleteResponse.FromString(answer.stdout).exit_status == 137


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-x",), "tandem: unknown flag -x\n"),
        ((), "tandem: nothing to do: "),
        ((*FLAGS, "start"), "tandem: bundle "),
    ],
)
def test_refusal_is_one_line_on_stderr(
    run_dir: RunDir, tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    answer = ask(run_dir, *words, cwd=str(tmp_path))
    assert (answer.status, answer.stdout) == (1, b"")
    assert answer.stderr.decode().startswith(text)
    assert answer.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device", "/x"), ValueError("odd"), KeyError("k")]
)
def test_failure_that_nobody_expected_is_told_too(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(actions, "delete", fail)
    answer = ask(run_dir, *FLAGS, "delete")
    assert answer.status == 1
    assert answer.stderr.startswith(b"tandem: internal error: ")


def test_only_calls_that_touch_the_bundle_take_the_launchers_place(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopted: list[tuple[int, str]] = []
    monkeypatch.setattr("shim.daemon.context.adopt", lambda pid, cwd: adopted.append((pid, cwd)))
    for words in (("-v",), ("-info",), (*FLAGS, "delete")):
        perform(Request(("shim", *words), (), "/proc"), run_dir, os.getpid())
    assert adopted == [(os.getpid(), "/proc")]
