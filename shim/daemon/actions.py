"""One call of the shim binary, from request to answer: the same for the daemon and the Python
launcher.

Rules: whatever goes wrong becomes a text on the caller's stderr and status 1: containerd shows it
to whoever waits for the pod.
"""

from dataclasses import dataclass

from shim.daemon import context
from shim.daemon.delete import delete
from shim.daemon.info import runtime_info, version_text
from shim.daemon.params import Action, Params, parse_params
from shim.daemon.request import Answer, Request
from shim.daemon.start import start
from shim.errdefs import ShimError
from shim.pod.params import Pod
from shim.rundir import RunDir


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to answer, and the pod shim to become after it."""

    answer: Answer
    pod: Pod | None = None


def perform(request: Request, run_dir: RunDir, launcher_pid: int | None) -> Outcome:
    """Do what the request asks; `launcher_pid` is None where this process is the launcher
    itself."""
    try:
        params = parse_params(request.argv)
        if launcher_pid is not None and params.action in {Action.START, Action.DELETE}:
            context.adopt(launcher_pid, request.cwd)
        return _perform(params, request, run_dir)
    except ShimError as error:
        return Outcome(Answer(status=1, stderr=f"tandem: {error}\n".encode()))
    except Exception as error:  # noqa: BLE001 (the caller's stderr is where it is seen)
        return Outcome(Answer(status=1, stderr=f"tandem: internal error: {error!r}\n".encode()))


def _perform(params: Params, request: Request, run_dir: RunDir) -> Outcome:
    match params.action:
        case Action.VERSION:
            return Outcome(Answer(stdout=version_text()))
        case Action.INFO:
            return Outcome(Answer(stdout=runtime_info()))
        case Action.DELETE:
            return Outcome(Answer(stdout=delete(params, request.cwd, run_dir)))
        case Action.START:
            started = start(params, request, run_dir)
            return Outcome(Answer(stdout=started.reply), started.pod)
