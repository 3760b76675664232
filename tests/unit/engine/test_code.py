"""Which kind of native code a container gets."""

import pytest

from shim.engine.code import Checks, Code, code_for


@pytest.mark.parametrize(
    ("per_request", "metered", "code", "program", "service"),
    [
        (False, False, Code.PLAIN, Checks.NOTHING, Checks.STOP),
        (True, False, Code.INTERRUPTIBLE, Checks.STOP, Checks.STOP),
        (False, True, Code.METERED, Checks.NOTHING, Checks.FUEL),
        (True, True, Code.METERED_PROGRAM, Checks.FUEL, Checks.FUEL),
    ],
)
def test_what_is_asked_for(
    per_request: bool, metered: bool, code: Code, program: Checks, service: Checks
) -> None:
    assert code_for(per_request=per_request, metered=metered) is code
    assert (code.program, code.service) == (program, service)


def test_each_has_a_directory_of_its_own() -> None:
    suffixes = [code.suffix for code in Code]
    assert len({*suffixes}) == len(Code) == 4
    assert all(suffix == "" or suffix.startswith(".") for suffix in suffixes)
