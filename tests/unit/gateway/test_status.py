"""Codes and texts pass from ttrpc to gRPC."""

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.gateway.status import grpc_status
from shim.ttrpc.codes import Code


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
def test_code_keeps_its_name_and_text(code: Code) -> None:
    status, text = grpc_status(code, "why")
    assert (status.name, text) == (code.name, "why")


@pytest.mark.parametrize("code", [0, -1, 17, 2**31])
def test_code_that_is_no_error_of_grpcs_is_unknown(code: int) -> None:
    assert grpc_status(code, "")[0] is grpc.StatusCode.UNKNOWN


@given(st.text(max_size=5000))
def test_text_is_cut_to_what_a_header_holds(text: str) -> None:
    cut = grpc_status(5, text)[1]
    assert len(cut.encode()) <= 2048
    if len(text) < 500 and text.isascii():
        assert cut == text
