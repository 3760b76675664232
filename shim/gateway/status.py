"""From ttrpc's status to gRPC's: the same numbers, google.rpc.Code.

Rules: no I/O. gRPC carries the text in a header, percent-encoded, and a client may refuse all
headers above 8 KiB together (gRPC's default): the text is cut so that it always arrives.
"""

import grpc

_MAX_TEXT_BYTES = 2048

_BY_NUMBER = {int(code.value[0]): code for code in grpc.StatusCode}


def grpc_status(code: int, text: str) -> tuple[grpc.StatusCode, str]:
    """What to abort a call with; a code that gRPC does not know, and OK, become UNKNOWN."""
    status = _BY_NUMBER.get(code, grpc.StatusCode.UNKNOWN)
    if status is grpc.StatusCode.OK:
        status = grpc.StatusCode.UNKNOWN
    cut = text.encode("utf-8", "backslashreplace")[:_MAX_TEXT_BYTES]
    return status, cut.decode("utf-8", "ignore")
