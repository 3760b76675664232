"""The one table from an error's class to the code on the wire (google.rpc.Code; containerd
errdefs)."""

from shim import errdefs
from shim.ttrpc.codes import Code

_CODES: dict[type[errdefs.ShimError], Code] = {
    errdefs.InvalidArgumentError: Code.INVALID_ARGUMENT,
    errdefs.DeadlineExceededError: Code.DEADLINE_EXCEEDED,
    errdefs.NotFoundError: Code.NOT_FOUND,
    errdefs.AlreadyExistsError: Code.ALREADY_EXISTS,
    errdefs.PermissionDeniedError: Code.PERMISSION_DENIED,
    errdefs.ResourceExhaustedError: Code.RESOURCE_EXHAUSTED,
    errdefs.FailedPreconditionError: Code.FAILED_PRECONDITION,
    errdefs.UnimplementedError: Code.UNIMPLEMENTED,
    errdefs.InternalError: Code.INTERNAL,
    errdefs.UnavailableError: Code.UNAVAILABLE,
}


def code_of(error: BaseException) -> Code:
    """The code of the nearest class in the table."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Code.UNKNOWN)
