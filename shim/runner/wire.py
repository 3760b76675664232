"""What a runner and the `tandem run` that waits for it say to each other on one stream socket.

After its request, the client sends one byte with its stdin, stdout and stderr (unix(7),
SCM_RIGHTS), and then one byte for each signal that it got: the signal's number. Its end of file is
its death. The runner sends TAKEN, then RUNNING, and last of all ENDED, the status in one byte, and
a text for the client's stderr up to the end of file; what it cannot read as a command line it
answers with NOT_UNDERSTOOD. What breaks off before RUNNING has run nothing, and may be tried again
elsewhere. Rules: no imports: the client pays for each of them.
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


def is_final(answer: bytes) -> bool:
    """Whether a call was served, or ran so far that it must not be repeated."""
    return answer.removeprefix(TAKEN)[:1] in {RUNNING, ENDED, NOT_UNDERSTOOD}
