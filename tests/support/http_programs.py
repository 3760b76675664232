"""Programs for the component of http_misuse.py: a good one, each wrong way to call, and chance.

Numbers that a walk takes by chance come from its seed alone, so that a failure can be repeated.
"""

import random
import struct

from shim.engine.http.contract import KINDS
from tests.support.http_functions import FUNCTIONS, RESOURCES, Function, Kind
from tests.support.http_misuse import OUTPARAM, REQUEST, Call, Left, Program, room

# The first four are names that fields may have.
_WORDS = (
    b"x-a", b"content-length", b"5", b"date", b"connection", b"bad name", b"a\r\nb: c", b"",
    b"\xc3\xa9", b"\xff\xfe",
)  # fmt: skip
_PLACES = {word: 1024 + 32 * index for index, word in enumerate(_WORDS)}
WILD = (0xFFFFFFF0, 4096)
_LISTS, _PAIRS, _BIG_AT = 2048, 2304, 0x4000
BIG = (_BIG_AT, 0x4000)
STRINGS = [(_PLACES[word], len(word)) for word in _WORDS]
X_A, LENGTH, FIVE, _, CONNECTION, BAD, LINES, NOTHING, _, NO_UTF8 = STRINGS
_TEXTS = STRINGS[:-1]
_COUNTED = [struct.pack("<2I", *one) for one in STRINGS]
# what the memory of the component holds
TEXTS = [
    *((_PLACES[word], word) for word in _WORDS),
    (_LISTS, b"".join(_COUNTED)),
    (_PAIRS, b"".join(one + _COUNTED[2] for one in _COUNTED)),
    (BIG[0], b"a" * BIG[1]),
]
_NUMBERS = (0, 1, 2, 7, 99, 200, 404, 1000, 4096, 0xFFFF, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)
_NO_ERROR = (0, 0, 0, 0, 0, 0)

FIELDS, RESPONSE = "[constructor]fields", "[constructor]outgoing-response"
SET, FINISH = "[static]response-outparam.set", "[static]outgoing-body.finish"
BODY, WRITE = "[method]outgoing-response.body", "[method]outgoing-body.write"
CONSUME, STREAM = "[method]incoming-request.consume", "[method]incoming-body.stream"
FINISH_IN, TRAILERS = "[static]incoming-body.finish", "[method]future-trailers.get"
SAY, READ = "[method]output-stream.blocking-write-and-flush", "[method]input-stream.blocking-read"
SUBSCRIBE = "[method]future-trailers.subscribe"
APPEND = "[method]fields.append"


def answer(outparam: Left | int, response: Left | int) -> Call:
    """Answer with a response."""
    return (SET, outparam, 0, response, *_NO_ERROR)


_RESPONSE: Program = [(FIELDS,), (RESPONSE, Left(1))]
_BODY: Program = [*_RESPONSE, (BODY, Left(2))]
GOOD: Program = [
    *_BODY,
    answer(OUTPARAM, Left(2)),
    (WRITE, Left(3, 4)),
    (SAY, Left(5, 4), *FIVE),
    ("drop output-stream", Left(5, 4)),
    (FINISH, Left(3, 4), 0, 0),
]
# How to come by one of each resource: the calls, and where it is then.
_RECIPES: dict[str, tuple[Program, Left]] = {
    "fields": ([(FIELDS,)], Left(1)),
    "incoming-request": ([], REQUEST),
    "response-outparam": ([], OUTPARAM),
    "outgoing-request": ([(FIELDS,), ("[constructor]outgoing-request", Left(1))], Left(2)),
    "request-options": ([("[constructor]request-options",)], Left(1)),
    "incoming-body": ([(CONSUME, REQUEST)], Left(1, 4)),
    "input-stream": ([(CONSUME, REQUEST), (STREAM, Left(1, 4))], Left(2, 4)),
    "future-trailers": ([(CONSUME, REQUEST), (FINISH_IN, Left(1, 4))], Left(2)),
    "pollable": (
        [(CONSUME, REQUEST), (FINISH_IN, Left(1, 4)), (SUBSCRIBE, Left(2))],
        Left(3),
    ),
    "outgoing-response": (_RESPONSE, Left(2)),
    "outgoing-body": (_BODY, Left(3, 4)),
    "output-stream": ([*_BODY, (WRITE, Left(3, 4))], Left(4, 4)),
}
_RESULT_AT = {TRAILERS: 28}


class Walk:
    """Calls by chance, with a liking for those that make sense."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._live = {name: list[Left]() for name in RESOURCES}
        self._dead: list[Left] = []
        self._live["incoming-request"].append(REQUEST)
        self._live["response-outparam"].append(OUTPARAM)
        self._calls: list[Call] = []
        self._done = set[tuple[Left | int | str, ...]]()

    def program(self) -> Program:
        """A program."""
        chance = self._random
        if chance.random() < 0.5:
            self._calls += [*_BODY, answer(OUTPARAM, Left(2))]
            self._live["response-outparam"].clear()
            self._live["outgoing-body"].append(Left(3, 4))
            self._dead += [OUTPARAM, Left(1), Left(2)]
        for _ in range(chance.randint(1, 30)):
            self._call(FUNCTIONS[self._chosen()])
        if chance.random() < 0.5 and self._live["outgoing-response"]:
            self._call(FUNCTIONS[SET])
        return self._calls

    def _chosen(self) -> str:
        chance = self._random
        names = [
            name
            for name, function in FUNCTIONS.items()
            if name != "fill" and all(self._live[one] for one in _needed(function))
        ]
        # what ends a resource too early ends most of what could be tried
        return chance.choice([name for name in names if "drop" not in name] * 4 + names)

    def _call(self, function: Function) -> None:
        name = next(name for name, one in FUNCTIONS.items() if one is function)
        flat = [one for kind in function.parameters for one in self._flat(kind)]
        self._calls.append((name, *flat))
        made = _made(function.result)
        # The second time there is mostly an error, and no handle.
        again = (name, *flat[:1]) in self._done
        self._done.add((name, *flat[:1]))
        if made in self._live and name != "handle" and (not again or self._random.random() < 0.05):
            at = _RESULT_AT.get(name, 0 if function.result and function.result.word == "own" else 4)
            self._live[made].append(Left(len(self._calls), at))

    def _flat(self, kind: Kind) -> list[Left | int]:
        chance = self._random
        if kind.word in {"own", "borrow"}:
            return [self._handle(kind)]
        if kind.word == "string":
            return list(chance.choice((WILD, NO_UTF8) if chance.random() < 0.01 else _TEXTS))
        if kind.word == "list":
            return self._list(kind.parts[0])
        if kind.word in {"option", "result", "variant"}:
            cases = kind.cases()
            good = [
                index
                for index, one in enumerate(cases)
                if one is None or one.word != "own" or self._live[one.parts[0]]
            ]
            case = chance.choice(good or [0])
            held = self._flat(cases[case]) if cases[case] else []
            rest = len(kind.flat()) - 1 - len(held)
            return [case if chance.random() > 0.01 else 99, *held, *[0] * rest]
        if kind.word == "record":
            return [one for part in kind.parts for one in self._flat(part)]
        return [chance.choice(_NUMBERS)]

    def _list(self, kind: Kind) -> list[Left | int]:
        chance = self._random
        if chance.random() < 0.01:
            return list(WILD)
        if kind.word == "u8":
            return list(chance.choice([*STRINGS, BIG, (0, 8)]))
        if kind.word == "list":
            return [_LISTS, chance.choice((0, 1, 2, 3, 4, 4, 4, 4, len(_TEXTS), len(STRINGS)))]
        if kind.word == "tuple":
            return [_PAIRS, chance.choice((0, 1, 2, 3, 4, 4, 4, 4, len(_TEXTS), len(STRINGS)))]
        handle = self._handle(kind)
        return [room(handle) if isinstance(handle, Left) else 4, 1]

    def _handle(self, kind: Kind) -> Left | int:
        chance, fit = self._random, self._live[kind.parts[0]]
        if fit and chance.random() > 0.01:
            handle = chance.choice(fit)
            if kind.word == "own":
                fit.remove(handle)
                self._dead.append(handle)
            return handle
        others: list[Left | int] = [one for handles in self._live.values() for one in handles]
        others += self._dead
        return chance.choice([*others, 0, 1, 2, 3, 5, 1 << 20, (1 << 32) - 1])


def _needed(function: Function) -> list[str]:
    kinds = [*function.parameters]
    needed = []
    for kind in kinds:
        if kind.word in {"own", "borrow"}:
            needed.append(kind.parts[0])
        elif kind.word == "list":
            kinds.append(kind.parts[0])
    return needed


def _made(result: Kind | None) -> str:
    while result is not None and result.parts and result.word != "own":
        result = result.parts[0]
    return result.parts[0] if result is not None and result.word == "own" else ""


def systematic() -> dict[str, Program]:
    """Each function with handles that are none, of other kinds, gone, and given twice."""
    programs: dict[str, Program] = {}
    for name, function in FUNCTIONS.items():
        needed = _needed(function)
        for word, handle in (("no handle", 0), ("a wild handle", 1 << 24)):
            programs[f"{name}: {word}"] = [(name, *_filled(function, handle))]
        for kind, (recipe, left) in _RECIPES.items():
            if not needed:
                break
            call = (name, *_filled(function, left))
            if kind == needed[0]:
                programs[f"{name}: twice"] = [*recipe, call, call]
                gone = (f"drop {kind}", left)
                programs[f"{name}: dropped before"] = [*recipe, gone, call]
                programs[f"{name}: dropped after"] = [*recipe, call, gone, gone]
            else:
                programs[f"{name}: {kind}"] = [*recipe, call]
    return programs


def _filled(function: Function, handle: Left | int) -> list[Left | int]:
    """Flat arguments: `handle` for every resource, and something harmless for the rest."""
    flat: list[Left | int] = []
    for kind in function.parameters:
        if kind.word in {"own", "borrow"}:
            flat.append(handle)
        elif kind.word == "string":
            flat += X_A
        elif kind.word == "list" and kind.parts[0].word == "borrow":
            flat += [room(handle) if isinstance(handle, Left) else 4, 1]
        elif kind.word == "list":
            flat += [{"list": _LISTS, "tuple": _PAIRS}.get(kind.parts[0].word, BIG[0]), 1]
        elif kind.word in {"result", "option"} and kind.cases()[-1] is not None:
            flat += [int(kind.word == "option"), handle, *[0] * (len(kind.flat()) - 2)]
        else:
            flat += [0] * len(kind.flat())
    return flat


assert set(_RECIPES) == {*KINDS, "input-stream", "output-stream", "pollable"} - {
    "incoming-response",
    "future-incoming-response",
}
