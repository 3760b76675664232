"""`tandem run`'s short way: hand the command line and stdio to a runner of the daemon's, pass
signals on, exit as the guest did.

Rules: no imports but what CPython has built in, and `os`: each of the others costs more than the
rest of this (`socket` 9 ms, `signal` 4 ms), and people wait for it. So nothing is understood here:
the runner reads the command line, and what it does not understand goes on to click, whose words are
better. Where no daemon serves this call, `shim.cli.run_alone` does what can be done.
"""

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import _socket
import os
import sys

from shim.daemon.wire import pack_request
from shim.runner import wire

_DEFAULT_SOCKET = "/run/tandem/tandemd.sock"
_TAKEN_TIMEOUT_S = 10.0
_FORWARDED = (
    _signal.SIGHUP,
    _signal.SIGINT,
    _signal.SIGQUIT,
    _signal.SIGTERM,
    _signal.SIGUSR1,
    _signal.SIGUSR2,
)
_ENDING = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM)


_received: list[int] = []


def run(words: list[str]) -> int | None:
    """Run what the words after `tandem run` say.

    Returns:
        The exit status, or None where the words are not understood.
    """
    if os.geteuid() != 0:
        # Help is for everybody; the rest is refused there.
        return None
    _open_missing_stdio()
    answer = _answer(words)
    return None if wire.is_not_understood(answer) else _finish(answer)


def run_words(words: list[str]) -> int:
    """Run what words say that `shim.runner.options` has read.

    Raises:
        InternalError: the daemon reads them otherwise.
    """
    status = run(words)
    if status is None:
        from shim.errdefs import InternalError

        raise InternalError(
            "the node's daemon does not understand this command: something has just been removed,"
            " or the daemon is of another version; end tandemd, and the next command starts one"
        )
    return status


def _answer(words: list[str]) -> bytes:
    try:
        answer = ask_daemon(words)
    except OSError:
        answer = b""
    if not wire.is_final(answer):
        from shim.cli.run_alone import answer_without_daemon

        return answer_without_daemon(words)
    return answer


def _lost() -> int:
    """Say that the runner has died; the group of its guest is removed in its place."""
    from shim.runner.group import sweep

    sweep()
    complain("the process that kept the guest is gone, and the guest with it")
    return wire.STATUS_FAILED


def complain(text: str) -> None:
    """Say what is wrong."""
    _write_stderr(f"tandem: {text}\n".encode(errors="replace"))


def ask_daemon(words: list[str]) -> bytes:
    """All that a runner of the daemon's answers.

    Raises:
        OSError: no daemon serves this call.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.settimeout(_TAKEN_TIMEOUT_S)
    connection.connect(os.environ.get("TANDEM_SOCKET") or _DEFAULT_SOCKET)
    env = [f"{name}={value}" for name, value in os.environ.items()]
    request = memoryview(pack_request([wire.RUN, *words], env, os.getcwd()))  # noqa: PTH109 (no pathlib here)
    while request:
        request = request[connection.send(request) :]
    fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2))
    connection.sendmsg([wire.STDIO], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)])
    return converse(connection)


def converse(connection: _socket.socket) -> bytes:
    """All that a runner answers; signals go to it meanwhile.

    Raises:
        OSError: it does not take the call.
    """
    fd = connection.fileno()

    def forward(number: int, _frame: object) -> None:
        _received.append(number)
        try:
            os.write(fd, bytes([number]))
        except OSError:
            # It is gone, and the end of file about to be read.
            return

    def stop(_number: int, frame: object) -> None:
        # The terminal's Ctrl-Z: the guest is in a session of its own, and sees none.
        forward(_signal.SIGSTOP, frame)
        os.kill(os.getpid(), _signal.SIGSTOP)

    _handle(forward, stop)
    answer = b""
    while wire.unpack_end(answer) is None and (chunk := connection.recv(1 << 16)):
        answer += chunk
        connection.settimeout(None)
    _handle(_signal.SIG_DFL, _signal.SIG_DFL)
    return answer


def _handle(forward: object, stop: object) -> None:
    for number in (*_FORWARDED, _signal.SIGCONT, _signal.SIGTSTP):
        # What is ignored (nohup, a script's background) stays ignored.
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, stop if number == _signal.SIGTSTP else forward)


def _finish(answer: bytes) -> int:
    end = wire.unpack_end(answer)
    if end is None:
        return _lost()
    status, text = end
    _write_stderr(text)
    number = status - 128
    if number in _received and number in _ENDING:
        # A shell stops its script at a Ctrl-C only if the program died of it.
        os.kill(os.getpid(), number)
    return status


def _open_missing_stdio() -> None:
    """Have 0, 1 and 2 open: what is opened next must not become one of them."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)  # noqa: FBT003 (os's)
    os.close(fd)


def _write_stderr(text: bytes) -> None:
    try:
        while text:
            text = text[os.write(2, text) :]
    except OSError:
        # Nobody reads it.
        return
