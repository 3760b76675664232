"""Calls of the installer on a node: how each ended, in all the words that it leaves.

Every installer has a /dev of its own with a termination log, as Kubernetes gives its containers.
`Acting` forks the checkout's installer from a process that has it imported, which is fast, and has
signals sent to it right before an act (`acts`). `run_bundled` executes a bundle's.
"""

import json
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.node.fake_node import FakeNode
from tests.support.waiting import PATIENCE

_DEV = """\
mount -t tmpfs -o mode=755 tmpfs /dev
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/urandom c 1 9
: > "$1"
: > /dev/termination-log
mount --bind "$1" /dev/termination-log
shift
exec "$@"
"""
_LIMIT_S = 120.0


@dataclass(frozen=True)
class Outcome:
    """How a call ended. `status` is negative where a signal ended it."""

    status: int
    said: str
    errors: str
    message: str
    trace: Sequence[tuple[str, str]] = ()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it told of its steps."""
        return [json.loads(line) for line in self.errors.splitlines() if line.startswith("{")]

    def of_step(self, name: str) -> str:
        """What a step says that it did."""
        found = [each for each in self.events if each.get("step") == name]
        return str(found[-1].get("what") or found[-1].get("error")) if found else ""

    def good(self) -> Self:
        """Itself, if the call did what it was told."""
        assert self.status == 0, f"{self.said}\n{self.errors}"
        assert self.message == self.said
        return self

    def failed(self, status: int, *texts: str) -> Self:
        """Itself, if it failed with this status, and said so in these words, everywhere."""
        assert self.status == status, f"{self.said}\n{self.errors}"
        assert self.message == self.said
        assert "Traceback" not in self.errors
        for text in texts:
            assert text in self.said
        return self


def isolated(node: FakeNode, message: Path, argv: Sequence[str | Path]) -> list[str]:
    """The command line that runs `argv` on the node, with a termination log in a file."""
    script: list[str | Path] = ["unshare", "--mount", "--propagation=slave", "sh"]
    script += ["-euc", _DEV, "sh", message]
    return node.room.command([*script, *argv])


def run_bundled(node: FakeNode, bundle: Path, stage: str, *arguments: str | Path) -> Outcome:
    """Execute the installer of a bundle, on the node itself."""
    message = node.folder / "message"
    argv: list[str | Path] = [bundle / "bin/tandem-installer", *_arguments(stage, arguments)]
    done = subprocess.run(
        isolated(node, message, argv),
        capture_output=True,
        text=True,
        timeout=_LIMIT_S * PATIENCE,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    return Outcome(done.returncode, done.stdout.strip(), done.stderr, message.read_text())


def run_outside(node: FakeNode, stage: str, *arguments: str | Path) -> Outcome:
    """Execute the checkout's as in a container: the node's root lies elsewhere, its processes are
    not to be seen."""
    how = ("--restart-command", node.restart_command) if stage != "verify" else ()
    argv = [sys.executable, "-m", "runtimeclass.installer", stage, "--root", node.root, *how]
    done = subprocess.run(
        [*argv, *arguments],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S * PATIENCE,
        check=False,
    )
    said = done.stdout.strip()
    return Outcome(done.returncode, said, done.stderr, said)


class Acting:
    """The checkout's installers on one node, to be used in a with statement."""

    def __init__(self, node: FakeNode) -> None:
        """Start what they are forked from."""
        self._folder = node.folder / "acts"
        self._folder.mkdir()
        self._message = self._folder / "message"
        argv = [sys.executable, "-m", "tests.node.acts"]
        self._process = subprocess.Popen(
            isolated(node, self._message, argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._calls = 0
        self._ask({})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def call(
        self,
        stage: str,
        *arguments: str | Path,
        at: int | str = 0,
        number: int = signal.SIGKILL,
    ) -> Outcome:
        """One call, to its end; a signal is sent right before the act `at` of `acts`, if any."""
        folder = self._new_folder()
        answer = self._ask(
            {
                "arguments": _arguments(stage, arguments),
                "at": at,
                "number": int(number),
                "folder": str(folder),
            }
        )
        assert answer["status"] is not None
        return self._outcome(folder, answer["status"])

    def stopped(self, stage: str, *arguments: str | Path, at: int) -> "Stopped":
        """One call that stands still before the act `at`, until it is told to go on."""
        folder = self._new_folder()
        request = {
            "arguments": _arguments(stage, arguments),
            "at": at,
            "number": int(signal.SIGSTOP),
            "folder": str(folder),
        }
        answer = self._ask(request)
        assert answer["status"] is None, self._outcome(folder, answer["status"])
        return Stopped(self, folder, answer["pid"])

    def go_on(self, folder: Path, pid: int) -> Outcome:
        """To the end of one that stood still."""
        return self._outcome(folder, self._ask({"pid": pid})["status"])

    def _new_folder(self) -> Path:
        self._calls += 1
        folder = self._folder / str(self._calls)
        folder.mkdir()
        self._message.write_text("")
        return folder

    def _ask(self, request: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _LIMIT_S * PATIENCE)
        assert ready, f"no end of {request}"
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def _outcome(self, folder: Path, status: int) -> Outcome:
        lines = (folder / "trace").read_text().splitlines()
        trace = []
        for line in lines:
            step, _, act = line.partition("\t")
            trace.append((step, act))
        said = (folder / "out").read_text().strip()
        message = self._message.read_text()
        return Outcome(status, said, (folder / "err").read_text(), message, trace)


@dataclass(frozen=True)
class Stopped:
    """A call that stands still."""

    acting: Acting
    folder: Path
    pid: int

    def go_on(self) -> Outcome:
        """To its end."""
        return self.acting.go_on(self.folder, self.pid)


def _arguments(stage: str, arguments: Sequence[str | Path]) -> list[str]:
    given = list(map(str, arguments))
    if stage != "verify" and not any(word.startswith("--restart") for word in given):
        given += ["--restart", "signal"]
    return [stage, *given]
