"""One call of the shim binary, from request to answer: the same for the daemon and the Python
launcher.

Rules: whatever goes wrong becomes a text on the caller's stderr and status 1: containerd shows it
to whoever waits for the pod. The daemon's child moves to where the launcher stands only for work
that has to be done there; what a look through the launcher's cwd shows to be done already leaves
the child as it was, fit for the next call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shim.daemon import context
from shim.daemon.delete import delete, delete_nothing
from shim.daemon.info import runtime_info, version_text
from shim.daemon.params import Action, Params, parse_params
from shim.daemon.request import Answer, Request
from shim.daemon.start import begin, join, plan_start
from shim.errdefs import ShimError
from shim.pod.params import Pod
from shim.rundir import RunDir


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to answer, and the pod shim to become after it."""

    answer: Answer
    pod: Pod | None = None


@dataclass(slots=True)
class Launcher:
    """The launcher behind a call, as its pid, and what serving it did to this process.

    `leave_pool` has the daemon fork a spare in this one's place. That costs the daemon time which
    an answer would wait for, so it is called here only ahead of work that takes longer.
    """

    pid: int
    leave_pool: Callable[[], None]
    has_moved_us: bool = False

    @property
    def cwd(self) -> Path:
        """The launcher's working directory, the bundle, in its mount namespace
        (proc_pid_cwd(5))."""
        return Path(f"/proc/{self.pid}/cwd")

    def step_into_place(self, cwd: str) -> None:
        """Go where the launcher stands; this process serves no other launcher afterwards."""
        self.has_moved_us = True
        context.adopt(self.pid, cwd)


def perform(request: Request, run_dir: RunDir, launcher: Launcher | None) -> Outcome:
    """Do what the request asks; no launcher where this process is the launcher itself."""
    try:
        return _perform(parse_params(request.argv), request, run_dir, launcher)
    except ShimError as error:
        return Outcome(Answer(status=1, stderr=f"tandem: {error}\n".encode()))
    except Exception as error:  # noqa: BLE001 (the caller's stderr is where it is seen)
        return Outcome(Answer(status=1, stderr=f"tandem: internal error: {error!r}\n".encode()))


def _perform(
    params: Params, request: Request, run_dir: RunDir, launcher: Launcher | None
) -> Outcome:
    bundle = launcher.cwd if launcher else Path(request.cwd)
    match params.action:
        case Action.VERSION:
            return Outcome(Answer(stdout=version_text()))
        case Action.INFO:
            return Outcome(Answer(stdout=runtime_info()))
        case Action.DELETE:
            answer = None
            if params.bundle in {"", request.cwd}:
                answer = delete_nothing(bundle, run_dir)
            if answer is None:
                if launcher:
                    launcher.leave_pool()
                    launcher.step_into_place(request.cwd)
                answer = delete(params, request.cwd, run_dir)
            return Outcome(Answer(stdout=answer))
        case Action.START:
            plan = plan_start(params, request, run_dir, bundle)
            reply = join(plan, bundle)
            if reply is not None:
                return Outcome(Answer(stdout=reply))
            if launcher:
                launcher.step_into_place(request.cwd)
            started = begin(plan)
            return Outcome(Answer(stdout=started.reply), started.pod)
