"""Installers that are signalled right before an act of theirs: `python -m tests.node.acts`.

Runs on the node, beside containerd. Each line of stdin is a request, each line of stdout its
answer, both JSON. An installer is forked from here for each request, since that takes milliseconds,
and does what `tandem-installer` does with these arguments. It counts its acts, by Python's audit
events: every change of a name, every file that is opened to be written, every connection, process
and signal, every call that has containerd change something; and the beginning of every step. Before
the act whose number is asked for, it sends itself the signal; or at the beginning of the nth step,
"begin 3", or before the first act of a kind, "os.kill".

    {"arguments": [...], "at": 7, "number": 9, "folder": where stdout, stderr and trace are put}
        -> {"status": as a shell has it, or null where it is stopped, "pid": 123}
    {"pid": 123}   goes on with one that is stopped, until its end
    {}             says that it listens
"""

import functools
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import grpc

from runtimeclass.installer import __main__ as installer
from runtimeclass.installer import call, steps

CHANGES = {
    *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink"),
    *("os.kill", "os.truncate", "subprocess.Popen", "socket.connect"),
}
CALLS = {"Create", "Start", "Kill", "Delete"}
# Opened again and again while something is waited for.
_LOCKS = ("/lock", "/tandemd.lock")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_READY = (call,)


class Acts(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc] # grpc has no types
    """Writes the trace, and sends the signal."""

    def __init__(self, trace: Path, at: int | str, number: int) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._at = at
        self._number = number
        self._count = 0
        self._begun = 0
        self._step = ""
        self._busy = False

    def act(self, what: str) -> None:
        """One is about to be done."""
        self._count += 1
        os.write(self._trace, f"{self._step}\t{what}\n".encode())
        if self._at in {self._count, what.partition(" ")[0], what}:
            self._at = 0
            self._busy = True
            os.kill(os.getpid(), self._number)
            self._busy = False

    def step(self, act: str, name: str) -> None:
        """A step is about to begin."""
        self._step = f"{act} {name}"
        self._begun += 1
        self.act(f"begin {self._begun}")

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """For sys.addaudithook."""
        if self._busy:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str) and flags & _WRITES and not path.endswith(_LOCKS):
                self.act(f"open {path}")
        elif event in CHANGES:
            self.act(f"{event} {arguments[0]}")

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        """For grpc."""
        if details.method.rpartition("/")[2] in CALLS:
            self.act(f"call {details.method}")
        return continuation(details, request)


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        request = json.loads(line)
        if not request:
            print("{}", flush=True)
            continue
        pid = request.get("pid", 0)
        if pid:
            os.kill(pid, signal.SIGCONT)
        else:
            pid = os.fork()
            if not pid:
                _child(**request)
        _, status = os.waitpid(pid, os.WUNTRACED)
        code = os.waitstatus_to_exitcode(status) if not os.WIFSTOPPED(status) else None
        print(json.dumps({"status": code, "pid": pid}), flush=True)


def _child(arguments: Sequence[str], at: int | str, number: int, folder: str) -> NoReturn:
    status = 1
    try:
        with Path(folder, "out").open("w") as out, Path(folder, "err").open("w") as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
        acts = Acts(Path(folder, "trace"), at, number)
        counted = functools.partial(steps.Runner, watch=acts.step)
        opened = functools.partial(_opened, grpc.insecure_channel, acts)
        with (
            mock.patch.object(steps, "Runner", counted),
            mock.patch.object(grpc, "insecure_channel", opened),
        ):
            sys.addaudithook(acts.audit)
            status = installer.main(arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _opened(real: Any, acts: Acts, *arguments: Any, **named: Any) -> Any:
    return grpc.intercept_channel(real(*arguments, **named), acts)


if __name__ == "__main__":
    main()
