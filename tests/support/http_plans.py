"""Programs for the component of http_misuse.py with what has to become of them: the status.

An answer may have begun before its guest fails: it is broken off then, which counts as 500. So what
fails behind its answer has a body to fail in.
Their requests have a body of five bytes and a trailer.
"""

from tests.support.http_misuse import OUTPARAM, REQUEST, Left, Program
from tests.support.http_programs import (
    APPEND,
    BAD,
    BIG,
    BODY,
    CONNECTION,
    CONSUME,
    FIELDS,
    FINISH,
    FINISH_IN,
    FIVE,
    GOOD,
    LENGTH,
    LINES,
    NO_UTF8,
    READ,
    RESPONSE,
    SAY,
    STREAM,
    SUBSCRIBE,
    TRAILERS,
    WILD,
    WRITE,
    X_A,
    answer,
)

_RESPONSE: Program = [(FIELDS,), (RESPONSE, Left(1)), answer(OUTPARAM, Left(2))]
_HEADERS = "[method]outgoing-response.headers"
_STATUS = "[method]outgoing-response.set-status-code"
_REQUEST = "[constructor]outgoing-request"
_FUTURE: Program = [(CONSUME, REQUEST), (FINISH_IN, Left(1, 4))]


def _after(calls: Program, *, served: int = 200) -> tuple[int, Program]:
    """A good answer behind these calls, which must not spoil it."""
    moved = [
        tuple(
            Left(one.call + len(calls), one.offset) if isinstance(one, Left) and one.call else one
            for one in call
        )
        for call in GOOD
    ]
    return served, [*calls, *moved]


PLANS: dict[str, tuple[int, Program]] = {
    "good": (200, GOOD),
    "no call": (500, []),
    "an answer without a body": (200, _RESPONSE),
    "two answers": (
        500, [*GOOD[:4], (FIELDS,), (RESPONSE, Left(5)), answer(OUTPARAM, Left(6)), *GOOD[4:]],
    ),
    "one response twice": (500, [*GOOD[:4], GOOD[3]]),
    "outparam dropped": _after([("drop response-outparam", OUTPARAM)], served=500),
    "response dropped": (500, [*_RESPONSE[:2], ("drop outgoing-response", Left(2)), _RESPONSE[2]]),
    "fields used when given away": (500, [*_RESPONSE[:2], (APPEND, Left(1), *X_A, *FIVE)]),
    "body taken twice": _after([*_RESPONSE[:2], (BODY, Left(2)), (BODY, Left(2))]),
    "stream taken twice": (
        200,
        [*GOOD[:5], (WRITE, Left(3, 4)), (SAY, Left(5, 4), *FIVE), *GOOD[6:]],
    ),
    "finished with the stream open": (200, [*GOOD[:6], (FINISH, Left(3, 4), 0, 0)]),
    "finished twice": (200, [*GOOD, (FINISH, Left(3, 4), 0, 0)]),
    "not finished": (500, GOOD[:6]),
    "body dropped": (500, [*GOOD[:7], ("drop outgoing-body", Left(3, 4))]),
    "body dropped under its stream": (
        500, [*GOOD[:5], ("drop outgoing-body", Left(3, 4)), GOOD[5]],
    ),
    "trailers that are no fields": (500, [*GOOD[:7], (FINISH, Left(3, 4), 1, REQUEST)]),
    "trailers that the body had": (
        200,
        [*GOOD[:7], (FIELDS,), (APPEND, Left(8), *X_A, *FIVE), (FINISH, Left(3, 4), 1, Left(8))],
    ),
    "said too little": (
        500,
        [(FIELDS,), (APPEND, Left(1), *LENGTH, *FIVE), (RESPONSE, Left(1)),
         (BODY, Left(3)), answer(OUTPARAM, Left(3)), (FINISH, Left(4, 4), 0, 0)],
    ),
    "request consumed twice": _after([(CONSUME, REQUEST), (CONSUME, REQUEST)]),
    "request dropped under its body": _after(
        [(CONSUME, REQUEST), ("drop incoming-request", REQUEST), (STREAM, Left(1, 4)),
         (READ, Left(3, 4), 100)]
    ),
    "body dropped under its input": _after(
        [(CONSUME, REQUEST), (STREAM, Left(1, 4)), ("drop incoming-body", Left(1, 4)),
         (READ, Left(2, 4), 100)]
    ),
    "finished under its input": _after(
        [(CONSUME, REQUEST), (STREAM, Left(1, 4)), (FINISH_IN, Left(1, 4)), (TRAILERS, Left(3)),
         (READ, Left(2, 4), 100)]
    ),
    "trailers twice": _after([*_FUTURE, (TRAILERS, Left(2)), (TRAILERS, Left(2))]),
    "trailers changed": _after(
        [*_FUTURE, (TRAILERS, Left(2)), (APPEND, Left(3, 28), *X_A, *FIVE)]
    ),
    "subscribed when dropped": _after(
        [*_FUTURE, ("drop future-trailers", Left(2)), (SUBSCRIBE, Left(2))], served=500
    ),
    "pollable kept": _after(
        [*_FUTURE, (SUBSCRIBE, Left(2)), ("drop future-trailers", Left(2)),
         ("[method]pollable.block", Left(3))]
    ),
    "input dropped under its pollable": _after(
        [(CONSUME, REQUEST), (STREAM, Left(1, 4)), ("[method]input-stream.subscribe", Left(2, 4)),
         ("drop input-stream", Left(2, 4))],
        served=500,
    ),
    "header of a response changed": _after(
        [*_RESPONSE[:2], (_HEADERS, Left(2)), (APPEND, Left(3), *X_A, *FIVE)]
    ),
    "no names": _after(
        [(FIELDS,), *((APPEND, Left(1), *name, *FIVE) for name in (BAD, CONNECTION, LINES))]
    ),
    "a value of two lines": _after([(FIELDS,), (APPEND, Left(1), *X_A, *LINES)]),
    "a name that is no text": _after([(FIELDS,), (APPEND, Left(1), *NO_UTF8, *FIVE)], served=500),
    "a name beyond the memory": _after([(FIELDS,), (APPEND, Left(1), *WILD, *FIVE)], served=500),
    "a value beyond the memory": _after([(FIELDS,), (APPEND, Left(1), *X_A, *WILD)], served=500),
    "a megabyte of values": (
        200,
        [(FIELDS,), *[(APPEND, Left(1), *X_A, *BIG)] * 64, (RESPONSE, Left(1)),
         answer(OUTPARAM, Left(66))],
    ),
    "no status": _after([*_RESPONSE[:2], (_STATUS, Left(2), 99), (_STATUS, Left(2), 101)]),
    "a status of 32 bits": _after([*_RESPONSE[:2], (_STATUS, Left(2), 0x100C8)]),
    "a body of a request": _after(
        [(FIELDS,), (_REQUEST, Left(1)), ("[method]outgoing-request.body", Left(2)),
         (WRITE, Left(3, 4)), (FINISH, Left(3, 4), 0, 0)],
        served=500,  # its stream is a child that has to be dropped first: types.wit
    ),
    "sent twice": _after(
        [(FIELDS,), (_REQUEST, Left(1)), ("handle", Left(2), 0, 0), ("handle", Left(2), 0, 0)],
        served=500,
    ),
    "a wild handle": _after([(_STATUS, 1 << 24, 200)], served=500),
    "a handle of another kind": _after([(_STATUS, REQUEST, 200)], served=500),
    "an error that there is not": (500, [(answer(OUTPARAM, 0)[0], OUTPARAM, 1, 77, *[0] * 6)]),
}  # fmt: skip
