"""What a runner and the `tandem run` that waits for it say to each other on one stream socket.

After its request, the client sends one byte with its stdin, stdout and stderr (unix(7),
SCM_RIGHTS), and then one byte for each signal that it got: the signal's number. Its end of file is
its death. The runner sends TAKEN, then RUNNING, and last of all what `pack_end` makes; what is no
command line, or names nothing that is there, it answers with NOT_UNDERSTOOD. What breaks off before
RUNNING has run nothing, and may be tried again elsewhere. Rules: no imports: the client pays for
each of them.
"""

RUN = "tandem-run"
"""The argv[0] of a request of the client's; the options and the guest's arguments follow."""

STDIO = b"i"
TAKEN = b"t"
RUNNING = b"r"
ENDED = b"e"
NOT_UNDERSTOOD = b"?"

STATUS_FAILED = 125
"""Tandem itself failed; nothing of the guest has run."""
STATUS_TIMEOUT = 124
"""The guest was killed at its time limit."""
_HEAD_BYTES = 4
_MAX_TEXT_BYTES = 0xFFFF


def pack_end(status: int, text: str) -> bytes:
    """The last message: the exit status, and what to write to stderr."""
    data = text.encode(errors="replace")[:_MAX_TEXT_BYTES]
    return ENDED + bytes([status]) + len(data).to_bytes(2, "little") + data


def unpack_end(answer: bytes) -> tuple[int, bytes] | None:
    """Status and text, once `answer`, all that came from the runner, holds them whole.

    The end of file would say so as well, but later: whoever sent it still has to close.
    """
    end = answer.removeprefix(TAKEN).removeprefix(RUNNING)
    if end[:1] != ENDED or len(end) < _HEAD_BYTES:
        return None
    text = end[_HEAD_BYTES:]
    return (end[1], text) if len(text) == int.from_bytes(end[2:4], "little") else None


def is_not_understood(answer: bytes) -> bool:
    """Whether somebody else has to explain, or to run, this command line."""
    return answer.removeprefix(TAKEN) == NOT_UNDERSTOOD


def is_final(answer: bytes) -> bool:
    """Whether a call was served, or ran so far that it must not be repeated."""
    return answer.removeprefix(TAKEN)[:1] in {RUNNING, ENDED, NOT_UNDERSTOOD}
