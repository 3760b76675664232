"""The kinds of native code that one module may be compiled to: a container asks for one of them.

Rules: pure. What a container asks for decides, not what its module is; each kind of code has a
directory of its own in the cache, named after the kind.
"""

from enum import Enum


class Checks(Enum):
    """What running code looks for all the time."""

    NOTHING = "nothing"
    STOP = "whether it must stop"
    FUEL = "whether it must stop, or has used up its fuel"


class Code(Enum):
    """A kind: the end of its directory's name, what programs look for, what components that answer
    HTTP by themselves look for."""

    PLAIN = ("", Checks.NOTHING, Checks.STOP)
    INTERRUPTIBLE = (".interruptible", Checks.STOP, Checks.STOP)
    METERED = (".metered", Checks.NOTHING, Checks.FUEL)
    METERED_PROGRAM = (".metered-program", Checks.FUEL, Checks.FUEL)

    def __init__(self, suffix: str, program: Checks, service: Checks) -> None:
        self.suffix = suffix
        self.program = program
        self.service = service


_CODES = {
    (False, False): Code.PLAIN,
    (True, False): Code.INTERRUPTIBLE,
    (False, True): Code.METERED,
    (True, True): Code.METERED_PROGRAM,
}


def code_for(*, per_request: bool, metered: bool) -> Code:
    """The kind for a container.

    Args:
        per_request: its program is run for each request, as CGI.
        metered: what serves a request has a limit of fuel.
    """
    return _CODES[per_request, metered]
