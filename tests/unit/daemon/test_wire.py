"""A request packed by who cannot afford the codec is the codec's."""

from shim.daemon.request import REQUEST_HEAD_BYTES, Request, body_bytes, decode_request
from shim.daemon.wire import pack_request


def test_packed_request_is_read() -> None:
    data = pack_request(["tandem-run", "", "ä"], ["A=1"], "/some where", b"in\0")
    head, body = data[:REQUEST_HEAD_BYTES], data[REQUEST_HEAD_BYTES:]
    assert body_bytes(head) == len(body)
    request = decode_request(head, body)
    assert request == Request(("tandem-run", "", "ä"), ("A=1",), "/some where", b"in\0")
