"""tandem-launcher: the launcher in Python, for when no daemon answers.

It starts a daemon, one of many launchers winning, and hands the call over; where no daemon comes
up, it does the work itself, and its child becomes the pod shim: slower, never broken. Rules:
stdlib and the request codec only until the last resort; silent on stderr unless the call fails.
"""

import contextlib
import os
import socket
import sys
from pathlib import Path

from shim.daemon.request import (
    MAX_STDIN_BYTES,
    Answer,
    Request,
    decode_answer,
    encode_request,
)
from shim.daemon.starting import start_daemon
from shim.errdefs import ShimError
from shim.rundir import RunDir

_ANSWER_TIMEOUT_S = 120.0


def main() -> int:
    """Serve one call of containerd's; returns the exit status."""
    try:
        run_dir = RunDir.from_env(os.environ)
        request = _request()
        answer = _ask(run_dir, request)
        if answer is None and start_daemon(run_dir, Path(sys.argv[0]).with_name("tandemd")):
            answer = _ask(run_dir, request)
        if answer is None:
            answer = _do_it_here(request, run_dir)
    except (ShimError, OSError) as error:
        answer = Answer(1, stderr=f"tandem: {error}\n".encode())
    with contextlib.suppress(BrokenPipeError):
        os.write(1, answer.stdout)
        os.write(2, answer.stderr)
    return answer.status


def _request() -> Request:
    stdin = b""
    if sys.argv[-1] in {"start", "-info"} and not os.isatty(0):
        with open(0, "rb", closefd=False) as stream:
            stdin = stream.read(MAX_STDIN_BYTES)
    # Not os.environ, to which Python adds LC_CTYPE where containerd has no locale (PEP 538).
    env = Path("/proc/self/environ").read_bytes().split(b"\0")[:-1]
    return Request(tuple(sys.argv), tuple(map(os.fsdecode, env)), str(Path.cwd()), stdin)


def _ask(run_dir: RunDir, request: Request) -> Answer | None:
    """The daemon's answer, or None where none came whole."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_TIMEOUT_S)
        try:
            connection.connect(os.fspath(run_dir.socket))
            connection.sendall(encode_request(request))
            received = b""
            while chunk := connection.recv(1 << 16):
                received += chunk
        except OSError:
            return None
    return decode_answer(received)


def _do_it_here(request: Request, run_dir: RunDir) -> Answer:
    """The last resort: become the daemon's child that would have served this call."""
    run_dir.create()
    from shim.daemon.actions import perform  # noqa: PLC0415 (heavy, and rarely needed)

    outcome = perform(request, run_dir, None)
    if outcome.pod is not None:
        from shim.pod.main import Host, run_pod  # noqa: PLC0415
        from shim.process.forking import fork  # noqa: PLC0415

        host = Host.prepare()
        if fork() == 0:
            status = 1
            try:
                os.setsid()
                run_pod(outcome.pod, host)
                status = 0
            finally:
                os._exit(status)
    return outcome.answer


if __name__ == "__main__":
    sys.exit(main())
