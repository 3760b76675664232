"""Every kind of error has a code, and nothing else has one."""

import pytest

from shim import errdefs
from shim.pod.status import code_of
from shim.ttrpc.codes import Code

EXPECTED = {
    "InvalidArgumentError": 3,
    "DeadlineExceededError": 4,
    "NotFoundError": 5,
    "NoArtifactError": 5,
    "AlreadyExistsError": 6,
    "PermissionDeniedError": 7,
    "ResourceExhaustedError": 8,
    "FailedPreconditionError": 9,
    "StaleArtefactError": 9,
    "UnimplementedError": 12,
    "InternalError": 13,
    "UnavailableError": 14,
    # The base: nobody raises it.
    "ShimError": 2,
}
KINDS = {name: kind for name, kind in vars(errdefs).items() if isinstance(kind, type)}


def test_codes_cover_every_kind_of_error() -> None:
    assert {name: int(code_of(kind("why"))) for name, kind in KINDS.items()} == EXPECTED


@pytest.mark.parametrize("error", [ValueError("x"), OSError(2, "x"), KeyError("x")])
def test_code_of_anything_else_is_unknown(error: Exception) -> None:
    assert code_of(error) is Code.UNKNOWN


def test_code_of_a_subclass_is_its_bases() -> None:
    class JailError(errdefs.InternalError):
        pass

    assert code_of(JailError("x")) is Code.INTERNAL
