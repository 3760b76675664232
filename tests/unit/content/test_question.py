"""A question over HTTP/2, byte by byte: the plain answer, and everything that is none."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.content.question import Questions, UnansweredError

METHOD = "containerd.services.images.v1.Images/Get"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8


def frame(kind: int, flags: int = 0, stream: int = 1, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBL", kind, flags, stream) + payload


def message(data: bytes) -> bytes:
    return struct.pack(">BL", 0, len(data)) + data


def frames_of(data: bytes) -> list[tuple[int, int, int, bytes]]:
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack(">BBL", data[3:9])
        found.append((kind, flags, stream, data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def answer(data: bytes, stream: int = 1) -> bytes:
    """As a Go server sends it: headers, one or more frames of data, trailers."""
    whole = message(data)
    pieces = [whole[at : at + 16384] for at in range(0, len(whole), 16384)]
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x88")
        + b"".join(frame(DATA, 0, stream, piece) for piece in pieces)
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x40\x01a\x010")
    )


def asked() -> Questions:
    questions = Questions("k8s.io")
    questions.ask(METHOD, b"request")
    return questions


def test_first_question_opens_the_connection() -> None:
    sent = Questions("k8s.io").ask(METHOD, b"request")
    assert sent.startswith(PREFACE)
    settings, window, headers, data = frames_of(sent[len(PREFACE) :])
    assert settings[:3] == (SETTINGS, 0, 0)
    assert window[0] == 8
    assert headers[:3] == (HEADERS, END_HEADERS, 1)
    assert data == (DATA, END_STREAM, 1, message(b"request"))


def test_headers_begin_with_those_that_have_to_come_first() -> None:
    block = frames_of(Questions("n").ask(METHOD, b"")[len(PREFACE) :])[2][3]
    path = f"/{METHOD}".encode()
    # method, scheme, authority, path; then the rest
    start = b"\x83\x86\x01\x09localhost\x04" + bytes([len(path)]) + path
    assert block.startswith(start)
    assert block.endswith(b"\x00\x14containerd-namespace\x01n")


def test_later_questions_are_streams_of_the_same_connection() -> None:
    questions = asked()
    assert questions.receive(frame(SETTINGS, 0, 0) + answer(b"one")) == b"one"
    acknowledged, headers, data = frames_of(questions.ask(METHOD, b""))
    assert acknowledged == (SETTINGS, 1, 0, b"")
    assert headers[2] == data[2] == 3
    assert questions.receive(answer(b"two", 3)) == b"two"


@given(st.binary(max_size=40000), st.lists(st.integers(1, 5000), max_size=30))
def test_answer_comes_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    questions = asked()
    sent = frame(SETTINGS, 0, 0, b"\0\5\0\0\x40\0") + frame(8, 0, 0, b"\0\0\1\0") + answer(data)
    found = []
    for size in [*sizes, len(sent)]:
        found.append(questions.receive(sent[:size]))
        sent = sent[size:]
    assert [each for each in found if each is not None] == [data]


def test_ping_is_answered() -> None:
    questions = asked()
    assert questions.receive(frame(PING, 0, 0, b"12345678")) is None
    assert frames_of(questions.take_pending()) == [(PING, 1, 0, b"12345678")]
    assert questions.take_pending() == b""


@pytest.mark.parametrize(
    "sent",
    [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88"),  # an error, without a message
        frame(RST_STREAM, 0, 1, b"\0\0\0\1"),
        frame(GOAWAY, 0, 0, bytes(8)),
        frame(DATA, END_STREAM, 1, message(b"no status")),
        frame(DATA, PADDED, 1, b"\0" + message(b"padded")),
        frame(DATA, 0, 1, b"\1\0\0\0\0") + frame(HEADERS, END_HEADERS | END_STREAM),
        frame(DATA, 0, 1, message(b"x") + message(b"y")) + frame(HEADERS, 5),
        frame(DATA, 0, 1, message(b"x")[:-1]) + frame(HEADERS, 5),
        frame(DATA, 0, 1, message(b"x")) + frame(HEADERS, END_STREAM),
        b"\0\x40\1" + bytes(6),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_anything_but_a_plain_answer_is_unanswered(sent: bytes) -> None:
    questions = asked()
    with pytest.raises(UnansweredError):
        questions.receive(sent)


def test_endless_answer_is_given_up() -> None:
    questions = asked()
    with pytest.raises(UnansweredError, match="too long"):
        for _ in range(300):
            questions.receive(frame(DATA, 0, 1, bytes(16384)))


def test_answers_to_others_are_not_ours() -> None:
    assert asked().receive(answer(b"another", 3)) is None


@given(st.binary(max_size=200))
def test_nothing_but_unanswered_leaves_it(data: bytes) -> None:
    questions = asked()
    with contextlib.suppress(UnansweredError):
        assert questions.receive(data) is None


@pytest.mark.parametrize(
    ("namespace", "method", "request_bytes"),
    [("n" * 127, METHOD, b""), ("n", "m" * 126, b""), ("n", METHOD, bytes(16384))],
)
def test_question_that_does_not_fit_is_not_asked(
    namespace: str, method: str, request_bytes: bytes
) -> None:
    with pytest.raises(UnansweredError, match="too long"):
        Questions(namespace).ask(method, request_bytes)
