"""The status codes of google.rpc.Status that ttrpc carries.

Rules of this module: numbers only. Which of our errors has which code is said in `shim.pod.status`.
"""

from enum import IntEnum


class Code(IntEnum):
    """A status code on the wire, named as google.rpc.Code names it."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
