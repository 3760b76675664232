"""What a test expects of a call that must fail."""

import pytest

from tests.support.ttrpc_client import RpcError


def fails(code: int, match: str | None = None) -> "pytest.RaisesExc[RpcError]":
    """Expect a call to be answered with that status, and a text that `match` is found in."""
    return pytest.raises(RpcError, match=match, check=lambda error: error.code == code)
