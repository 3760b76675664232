"""A mistake of the peer costs one call, never the connection."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.api import ttrpc_pb2
from shim.errdefs import ResourceExhaustedError
from shim.ttrpc.codes import Code
from shim.ttrpc.connection import (
    MAX_ERROR_TEXT_BYTES,
    MAX_STREAM_ID,
    ClientConnection,
    Refused,
    RequestReceived,
    ResponseReceived,
    ServerConnection,
)
from shim.ttrpc.frame import HEADER, MAX_MESSAGE_BYTES, Frame, FrameReader, encode_frame

REQUEST, RESPONSE, DATA = 1, 2, 3


def request_frame(stream_id: int, flags: int = 0, kind: int = REQUEST) -> bytes:
    payload = ttrpc_pb2.Request(service="s", method="m").SerializeToString()
    return encode_frame(Frame(stream_id, kind, flags, payload))


def decode_reply(reply: bytes) -> tuple[int, int, str, bytes]:
    (frame,) = FrameReader().receive_data(reply)
    assert isinstance(frame, Frame)
    assert (frame.type, frame.flags) == (RESPONSE, 0)
    response = ttrpc_pb2.Response.FromString(frame.data)
    return frame.stream_id, response.status.code, response.status.message, response.payload


def refusal(server: ServerConnection, data: bytes) -> tuple[int, int]:
    (event,) = server.receive_data(data)
    assert isinstance(event, Refused)
    stream_id, code, text, payload = decode_reply(event.reply)
    assert text
    assert payload == b""
    return stream_id, code


def assert_alive(server: ServerConnection, stream_id: int = 1001) -> None:
    (event,) = server.receive_data(request_frame(stream_id))
    assert isinstance(event, RequestReceived)
    assert event.stream_id == stream_id


@given(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=50), st.integers(-9, 9))
def test_call_there_and_back(service: str, method: str, payload: bytes, timeout_ns: int) -> None:
    client, server = ClientConnection(), ServerConnection()
    stream_id, sent = client.send_request(service, method, payload, timeout_ns)
    assert server.receive_data(sent) == [
        RequestReceived(stream_id, service, method, payload, timeout_ns, ())
    ]
    answered = client.receive_data(server.send_response(stream_id, payload))
    assert answered == [ResponseReceived(stream_id, 0, "", payload)]


def test_metadata_is_kept_with_repeated_keys() -> None:
    pairs = [ttrpc_pb2.KeyValue(key="k", value=value) for value in "ab"]
    data = ttrpc_pb2.Request(service="s", method="m", metadata=pairs).SerializeToString()
    (event,) = ServerConnection().receive_data(encode_frame(Frame(1, REQUEST, 0, data)))
    assert isinstance(event, RequestReceived)
    assert event.metadata == (("k", "a"), ("k", "b"))


def test_client_ids_are_odd_and_answers_may_come_in_any_order() -> None:
    client, server = ClientConnection(), ServerConnection()
    ids = [client.send_request("s", "m", b"")[0] for _ in range(3)]
    assert ids == [1, 3, 5]
    replies = b"".join(server.send_response(stream_id, b"x") for stream_id in (5, 1, 3))
    assert [event.stream_id for event in client.receive_data(replies)] == [5, 1, 3]


@given(st.lists(st.integers(0, 40), max_size=30))
def test_server_takes_odd_increasing_ids_and_refuses_the_others(ids: list[int]) -> None:
    server = ServerConnection()
    last = 0
    for stream_id in ids:
        if stream_id % 2 == 1 and stream_id > last:
            (event,) = server.receive_data(request_frame(stream_id))
            assert isinstance(event, RequestReceived)
            last = stream_id
        else:
            found = refusal(server, request_frame(stream_id))
            assert found == (stream_id, Code.INVALID_ARGUMENT)


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=20))
def test_server_survives_hostile_bytes_whatever_the_split(stream: bytes, cuts: list[int]) -> None:
    whole, split = ServerConnection(), ServerConnection()
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    found = []
    for start, end in itertools.pairwise(edges):
        found += split.receive_data(stream[start:end])
    assert found == whole.receive_data(stream)


@given(st.integers(0, 50), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=60))
def test_server_survives_any_frame(stream_id: int, kind: int, flags: int, data: bytes) -> None:
    server = ServerConnection()
    server.receive_data(encode_frame(Frame(stream_id, kind, flags, data)))
    assert_alive(server)


@given(st.binary(max_size=200))
def test_client_survives_hostile_bytes(data: bytes) -> None:
    client = ClientConnection()
    stream_id, _ = client.send_request("s", "m", b"")
    answered = client.receive_data(encode_frame(Frame(stream_id, RESPONSE, 0, data)))
    assert len(answered) == 1
    client.receive_data(data)


def test_undecodable_request_is_an_invalid_argument() -> None:
    server = ServerConnection()
    found = refusal(server, encode_frame(Frame(3, REQUEST, 0, b"\xff\xff\xff")))
    assert found == (3, Code.INVALID_ARGUMENT)
    assert_alive(server)


def test_streaming_call_is_unimplemented() -> None:
    server = ServerConnection()
    assert refusal(server, request_frame(1, flags=0x02)) == (1, Code.UNIMPLEMENTED)
    assert refusal(server, request_frame(1, kind=DATA)) == (1, Code.INVALID_ARGUMENT)
    assert_alive(server)


def test_unknown_types_and_responses_are_ignored() -> None:
    server = ServerConnection()
    assert server.receive_data(request_frame(1, kind=77) + request_frame(1, kind=RESPONSE)) == []
    assert_alive(server, 1)


def test_oversized_request_is_resource_exhausted() -> None:
    server = ServerConnection()
    length = MAX_MESSAGE_BYTES + 1
    found = refusal(server, HEADER.pack(length, 5, REQUEST, 0) + bytes(length))
    assert found == (5, Code.RESOURCE_EXHAUSTED)
    assert_alive(server)


def test_too_large_payload_becomes_resource_exhausted() -> None:
    reply = ServerConnection().send_response(7, bytes(MAX_MESSAGE_BYTES))
    stream_id, code, _, payload = decode_reply(reply)
    assert (stream_id, code, payload) == (7, Code.RESOURCE_EXHAUSTED, b"")


@given(st.text(alphabet=st.characters(), max_size=50), st.integers(1, 16))
def test_error_text_arrives_cut(text: str, code: int) -> None:
    reply = ServerConnection().send_error(7, code, text * 1000)
    stream_id, found, message, payload = decode_reply(reply)
    assert (stream_id, found, payload) == (7, code, b"")
    assert len(message.encode()) <= MAX_ERROR_TEXT_BYTES
    assert (text * 1000).encode("utf-8", "backslashreplace").startswith(message.encode())


def test_client_reports_errors_of_every_form_once() -> None:
    client, server = ClientConnection(), ServerConnection()
    for _ in range(3):
        client.send_request("s", "m", b"")
    failed = server.send_error(1, Code.NOT_FOUND, "container a does not exist")
    assert client.receive_data(failed + failed) == [
        ResponseReceived(1, Code.NOT_FOUND, "container a does not exist", b"")
    ]
    (undecodable,) = client.receive_data(encode_frame(Frame(3, RESPONSE, 0, b"\xff")))
    assert undecodable.code == Code.INTERNAL
    length = MAX_MESSAGE_BYTES + 1
    (oversized,) = client.receive_data(HEADER.pack(length, 5, RESPONSE, 0))
    assert oversized.code == Code.RESOURCE_EXHAUSTED


def test_client_ignores_answers_to_nothing() -> None:
    client, server = ClientConnection(), ServerConnection()
    stream_id, _ = client.send_request("s", "m", b"")
    stray = server.send_response(stream_id + 2, b"") + request_frame(stream_id)
    assert client.receive_data(stray) == []
    assert len(client.receive_data(server.send_response(stream_id, b""))) == 1


def test_client_refuses_what_does_not_fit_and_keeps_its_id() -> None:
    client = ClientConnection()
    with pytest.raises(ResourceExhaustedError):
        client.send_request("s", "m", bytes(MAX_MESSAGE_BYTES))
    assert client.send_request("s", "m", b"")[0] == 1
    client._next_stream_id = MAX_STREAM_ID + 2
    with pytest.raises(ResourceExhaustedError, match="open a new one"):
        client.send_request("s", "m", b"")
