"""One call, from request to answer: whatever goes wrong is a line on stderr and status 1."""

import os
from pathlib import Path

import pytest

import shim
from shim.api import info_pb2, task_pb2
from shim.daemon import actions
from shim.daemon.actions import Launcher, perform
from shim.daemon.request import Answer, Request
from shim.record import Record, write_record
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

    monkeypatch.setattr(actions, "delete_nothing", fail)
    answer = ask(run_dir, *FLAGS, "delete")
    assert answer.status == 1
    assert answer.stderr.startswith(b"tandem: internal error: ")


class Watched:
    """A launcher, and what became of the process that serves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[object] = []
        self.launcher = Launcher(os.getpid(), lambda: self.steps.append("left the pool"))
        monkeypatch.setattr(
            "shim.daemon.context.adopt", lambda pid, cwd: self.steps.append((pid, cwd))
        )


@pytest.mark.parametrize("words", [("-v",), ("-info",), (*FLAGS, "delete"), (*FLAGS, "nonsense")])
def test_call_without_work_leaves_its_process_fit_for_the_next(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    watched = Watched(monkeypatch)
    perform(Request(("shim", *words), (), str(tmp_path)), run_dir, watched.launcher)
    assert watched.steps == []


def test_call_that_has_to_clean_takes_the_launchers_place(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path, Record(rootfs=str(tmp_path / "rootfs")))
    request = Request(("shim", *FLAGS, "delete"), (), str(tmp_path))
    assert perform(request, run_dir, watched.launcher).answer.status == 0
    assert watched.steps == ["left the pool", (os.getpid(), str(tmp_path))]


def test_start_of_a_new_pod_takes_the_launchers_place(
    run_dir: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched = Watched(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tandem.toml").write_text("")
    env = (f"TANDEM_CONFIG={tmp_path / 'tandem.toml'}",)
    request = Request(("shim", *FLAGS, "start"), env, str(tmp_path))
    first = perform(request, run_dir, watched.launcher)
    assert first.pod is not None
    # Only after the answer, by whoever sends it: see `Launcher`.
    assert watched.steps == [(os.getpid(), str(tmp_path))]
    assert watched.launcher.has_moved_us
    second = perform(request, run_dir, watched.launcher)
    first.pod.listener.close()
    assert (second.pod, second.answer) == (None, first.answer)
    assert len(watched.steps) == 1
